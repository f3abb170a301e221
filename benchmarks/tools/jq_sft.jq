# Completed rollouts whose reward reaches the threshold.
inputs | fromjson? | select(.reward != null and .reward >= $threshold)
| select(.response.incomplete_details == null)
| {messages: .response.output, reward, task_type: (.metadata.task_type? // "general")}
