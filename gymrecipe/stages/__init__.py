"""The stages: this list is the table of contents."""

from gymrecipe.stages import (
    aggregate as aggregate,
)
from gymrecipe.stages import (
    balance as balance,
)
from gymrecipe.stages import (
    dedup as dedup,
)
from gymrecipe.stages import (
    filter as filter,
)
from gymrecipe.stages import (
    label as label,
)
from gymrecipe.stages import (
    load as load,
)
from gymrecipe.stages import (
    pair as pair,
)
from gymrecipe.stages import (
    sample as sample,
)
from gymrecipe.stages import (
    tasks as tasks,
)
from gymrecipe.stages import (
    validate as validate,
)
from gymrecipe.stages import (
    write as write,
)
