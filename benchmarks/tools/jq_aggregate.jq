# Sums of every number at the top of a line; the std from the sum of squares.
reduce (inputs | fromjson? | select(.response) | to_entries[]
  | select((.value | type == "number") and (.key | startswith("_") | not))
) as {$key, $value} ({};
  .[$key] |= { count: (.count + 1), sum: (.sum + $value), squares: (.squares + $value * $value),
               min: ([.min // $value, $value] | min), max: ([.max // $value, $value] | max) }
)
| to_entries[] | .value as $v
| { metric: .key, count: $v.count, mean: ($v.sum / $v.count),
    std: (($v.squares - $v.sum * $v.sum / $v.count) / ($v.count - 1) | sqrt),
    min: $v.min, max: $v.max }
