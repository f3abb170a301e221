# The i-th best of each prompt with the i-th worst.
[ inputs | fromjson? | select(.response and .reward != null)
  | select(.response.incomplete_details == null)
  | {prompt: .responses_create_params.input, output: .response.output, reward}
]
| group_by(.prompt)[] | sort_by(-.reward) | . as $ranked
| range(length / 2 | floor) | $ranked[.] as $chosen | $ranked[-1 - .] as $rejected
| select($chosen.reward - $rejected.reward >= $threshold - 1e-9)
| { prompt: $chosen.prompt, chosen: $chosen.output, rejected: $rejected.output,
    reward_chosen: $chosen.reward, reward_rejected: $rejected.reward }
