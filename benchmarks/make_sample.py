"""Makes the sample that ships: 200 invented NeMo Gym rollouts of 50 prompts, and three bad lines.

    python benchmarks/make_sample.py

It writes the same bytes every time. It is no part of the package, whose code of reading decides
which kept scans are believed.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from operator import eq
from random import Random
from typing import Any, NamedTuple, TypeAlias

from gymrecipe.rollouts.files import sample_path

Json: TypeAlias = dict[str, Any]

SEED = 18  # with this one no two rollouts of a prompt are neighbours in the file
STARTED = 1_760_000_000.0
MASKED = (42, 0)  # task and rollout: killed from outside, so that its reward is an accident
CUT = "..."  # in a table: ran out of tokens while thinking

# In all tables a line that is not indented opens a prompt.
# Question; the right way; then what the wrong ones of the four rollouts do instead.
MATH = """
A tram has 48 riders. At the market 19 get off and 27 get on. How many riders does it have now?
  riders staying: 48 - 19 = 29; riders now: 29 + 27 = 56
  riders after the market: 48 + 27 = 75
A bakery fills 15 trays with 12 rolls each and sells 134 of the rolls. How many are left?
  rolls baked: 15 * 12 = 180; rolls left: 180 - 134 = 46
Nora cycles at 18 km/h for 2 hours and at 24 km/h for 3 hours. How many kilometres is that?
  first part: 18 * 2 = 36; second part: 24 * 3 = 72; whole ride: 36 + 72 = 108
  mean speed: (18 + 24) / 2 = 21; whole ride: 21 * 5 = 105
A coat costs 80 euros. It is cut by 25 percent, then by another 10 percent. What does it cost now?
  after the first cut: 80 - 20 = 60; after the second cut: 60 - 6 = 54
  both cuts together: 25 + 10 = 35; euros taken off: 80 * 35 / 100 = 28; price: 80 - 28 = 52
  after the first cut: 80 - 20 = 60; after the second cut: 60 - 10 = 50
How many whole numbers from 1 to 100 can be divided by 3 or by 5?
  by 3: 99 / 3 = 33; by 5: 100 / 5 = 20; by both: 90 / 15 = 6; by either: 33 + 20 - 6 = 47
  by 3: 99 / 3 = 33; by 5: 100 / 5 = 20; by either: 33 + 20 = 53
  by 3: 99 / 3 = 33; by 5: 100 / 5 = 20; by both: 90 / 15 = 6; by one only: 53 - 2 * 6 = 41
  ...
A rectangle is 14 cm long and 9 cm wide. What is its perimeter in centimetres?
  half way round: 14 + 9 = 23; all the way: 23 * 2 = 46
  length times width: 14 * 9 = 126
A snail climbs 3 m up a 10 m wall by day and slips back 2 m by night. On which day is it at the top?
  height before the last climb: 10 - 3 = 7; nights needed: 7 / 1 = 7; day: 7 + 1 = 8
  gain in a day: 3 - 2 = 1; days: 10 / 1 = 10
  gain in a day: 3 - 2 = 1; days: 10 / 1 = 10; without the last slip: 10 - 1 = 9
  height before the last climb: 10 - 3 = 7; days for that height: 7 / 1 = 7
  height gained in three days: 3 * 3 = 9; days: 3 + 1 = 4
Three friends share 96 stickers evenly; then each gives 5 to Mina. How many does each one keep?
  share: 96 / 3 = 32; kept: 32 - 5 = 27
A 1260 litre tank already holds 180 litres. A pump adds 45 litres a minute. In how many minutes is \
the tank full?
  litres missing: 1260 - 180 = 1080; minutes: 1080 / 45 = 24
  minutes: 1260 / 45 = 28
Three even numbers in a row add up to 78. What is the largest of them?
  number in the middle: 78 / 3 = 26; largest: 26 + 2 = 28
  number in the middle: 78 / 3 = 26; largest: 26 + 1 = 27
  largest: 78 / 3 = 26
A train leaves at 09:40 and arrives at 13:15. How many minutes does it take?
  whole hours to 12:40: 3 * 60 = 180; rest: 20 + 15 = 35; together: 180 + 35 = 215
  hours from 9 to 13: 4 * 60 = 240; minutes to take off: 40 + 15 = 55; together: 240 - 55 = 185
In a class of 30, 18 play chess, 15 play football and 7 play both. How many play neither?
  at least one: 18 + 15 - 7 = 26; neither: 30 - 26 = 4
  one of them: 18 + 15 = 33; both counted twice: 33 - 2 * 7 = 19; neither: 30 - 19 = 11
A clock strikes 4 in 6 seconds, from the first stroke to the last. In how many seconds does it \
strike 12?
  gaps in 4 strokes: 4 - 1 = 3; seconds a gap: 6 / 3 = 2; gaps: 12 - 1 = 11; seconds: 11 * 2 = 22
  times as many strokes: 12 / 4 = 3; seconds: 6 * 3 = 18
  gaps in 4 strokes: 4 - 1 = 3; seconds a gap: 6 / 3 = 2; seconds: 12 * 2 = 24
  strokes added: 12 - 4 = 8; seconds: 6 + 8 = 14
A bed has 7 rows of 16 tulips. Deer eat 29 of them. How many tulips are left?
  tulips planted: 7 * 16 = 112; tulips left: 112 - 29 = 83
What is the last digit of 7 to the power of 5?
  square: 7 * 7 = 49; fourth power ends as: 9 * 9 = 81; fifth power ends as: 1 * 7 = 7
  seven taken five times: 7 * 5 = 35; last digit: 35 - 30 = 5
A printer needs 4 minutes for 50 pages. How many minutes does it need for 325 pages?
  pages in 2 minutes: 50 / 2 = 25; such batches: 325 / 25 = 13; minutes: 13 * 2 = 26
  batches, rounded up: 325 / 50 = 7; minutes: 7 * 4 = 28
  pages a minute: 50 - 4 = 46; minutes, rounded: 325 / 46 = 7
Lena is 4 times as old as her son. In 20 years she will be twice as old. How old is she today?
  two sons and 20 years are one Lena, so the son is: 20 / 2 = 10; Lena: 10 * 4 = 40
  son: 20 / 4 = 5; Lena: 5 * 4 = 20
A ladder has 21 rungs, 30 cm apart. How many centimetres lie between the lowest and the highest?
  gaps: 21 - 1 = 20; distance: 20 * 30 = 600
  distance: 21 * 30 = 630
  gaps, with both ends: 21 + 1 = 22; distance: 22 * 30 = 660
  rungs without the two ends: 21 - 2 = 19; distance: 19 * 30 = 570
  gaps: 21 - 1 = 20; distance: 20 + 30 = 50
A dough for 6 people takes 450 g of flour. How many grams does it take for 14 people?
  flour a person: 450 / 6 = 75; flour: 75 * 14 = 1050
  people added: 14 - 6 = 8; flour: 450 + 8 = 458
  times as many people, roughly: 14 / 6 = 2; flour: 450 * 2 = 900
How many codes of three letters can be made from A, B, C and D if no letter is used twice?
  first two letters: 4 * 3 = 12; all three: 12 * 2 = 24
  first two letters: 4 * 4 = 16; all three: 16 * 4 = 64
  letters in any order: 4 * 3 * 2 / 6 = 4
  ...
"""

# Signature and meaning; arguments of four tests; right code => what they give; wrong code likewise.
CODE = """
count_vowels(text): the number of vowels in text, capital letters included
  'Ada' ; 'rhythm' ; 'OUI' ; ''
  sum(c in 'aeiou' for c in text.lower()) => 2 ; 0 ; 3 ; 0
  sum(c in 'aeiou' for c in text) => 1 ; 0 ; 0 ; 0
  len([c for c in text.lower() if c in 'aeio']) => 2 ; 0 ; 2 ; 0
second_largest(xs): the second largest distinct value of xs, or None
  [3, 1, 2] ; [5, 5, 4] ; [7] ; []
  next(iter(sorted(set(xs))[-2:-1]), None) => 2 ; 4 ; None ; None
  sorted(xs)[1] => 2 ; 5 ; IndexError ; IndexError
is_palindrome(text): whether text reads the same both ways, ignoring case and spaces
  'Never odd or even' ; 'abc' ; 'Anna' ; 'a b'
  (s := text.lower().replace(' ', '')) == s[::-1] => True ; False ; True ; False
  text == text[::-1] => False ; False ; False ; False
  text.lower() == text.lower()[::-1] => False ; False ; True ; False
chunk(xs, n): xs split into lists of at most n items
  [1, 2, 3], 2 ; [1, 2], 2 ; [], 3 ; [1, 2, 3], 5
  [xs[i:i + n] for i in range(0, len(xs), n)] => [[1, 2], [3]] ; [[1, 2]] ; [] ; [[1, 2, 3]]
  [xs[i:i + n] for i in range(0, len(xs) - n + 1, n)] => [[1, 2]] ; [[1, 2]] ; [] ; []
  [xs[:n], xs[n:]] => [[1, 2], [3]] ; [[1, 2], []] ; [[], []] ; [[1, 2, 3], []]
title_case(text): text with a capital at the start of every word and the rest as it was
  'NASA report' ; "it's late" ; 'red' ; ''
  ' '.join(w[:1].upper() + w[1:] for w in text.split(' ')) => \
'NASA Report' ; "It's Late" ; 'Red' ; ''
  text.title() => 'Nasa Report' ; "It'S Late" ; 'Red' ; ''
  text.capitalize() => 'Nasa report' ; "It's late" ; 'Red' ; ''
flatten(xs): the lists in xs joined into one, one level deep
  [[1], [2, 3]] ; [] ; [[], [4]] ; [[[5]]]
  [y for x in xs for y in x] => [1, 2, 3] ; [] ; [4] ; [[5]]
rotate(xs, k): xs with its last k items moved to the front, where k may exceed the length
  [1, 2, 3], 1 ; [1, 2], 0 ; [], 2 ; [1, 2, 3], 4
  xs[-(k % len(xs)):] + xs[:-(k % len(xs))] if xs else [] => [3, 1, 2] ; [1, 2] ; [] ; [3, 1, 2]
  xs[-k:] + xs[:-k] => [3, 1, 2] ; [1, 2] ; [] ; [1, 2, 3]
digit_sum(n): the sum of the digits of n, which may be negative
  123 ; 0 ; -45 ; 999
  sum(int(d) for d in str(abs(n))) => 6 ; 0 ; 9 ; 27
  sum(int(d) for d in str(n)) => 6 ; 0 ; ValueError ; 27
common(a, b): the values found in both lists, sorted, each of them once
  [1, 2, 2], [2, 3] ; [3, 1], [1, 3] ; [], [1] ; [5], [6]
  sorted(set(a) & set(b)) => [2] ; [1, 3] ; [] ; []
  list(set(a) & set(b)).sort() => None ; None ; None ; None
  [x for x in a if x in b] => [2, 2] ; [3, 1] ; [] ; []
  sorted(set(a) | set(b)) => [1, 2, 3] ; [1, 3] ; [1] ; [5, 6]
mean(xs): the mean of xs, or 0.0 if xs is empty
  [1, 3] ; [-1, 2] ; [] ; [4]
  sum(xs) / len(xs) if xs else 0.0 => 2.0 ; 0.5 ; 0.0 ; 4.0
  sum(xs) / len(xs) => 2.0 ; 0.5 ; ZeroDivisionError ; 4.0
  sum(xs) / 2 => 2.0 ; 0.5 ; 0.0 ; 2.0
longest_word(text): the first of the longest words of text, or '' if it has none
  'a zoo keeper' ; 'one two' ; '' ; 'hi'
  max(text.split(), key=len, default='') => 'keeper' ; 'one' ; '' ; 'hi'
  max(text.split() or ['']) => 'zoo' ; 'two' ; '' ; 'hi'
  ...
caesar(text, k): text with each small letter moved on by k places, z followed by a
  'abc', 1 ; 'xyz', 3 ; 'a b', 2 ; '', 5
  ''.join(chr((ord(c) - 97 + k) % 26 + 97) if c.islower() else c for c in text) => \
'bcd' ; 'abc' ; 'c d' ; ''
  ''.join(chr(ord(c) + k) for c in text) => 'bcd' ; '{|}' ; 'c"d' ; ''
dedupe(xs): the values of xs without repeats, in the order of their first appearance
  [2, 1, 2] ; [] ; ['b', 'a'] ; [3, 3]
  list(dict.fromkeys(xs)) => [2, 1] ; [] ; ['b', 'a'] ; [3]
  sorted(set(xs)) => [1, 2] ; [] ; ['a', 'b'] ; [3]
  list(set(xs)).sort() => None ; None ; None ; None
by_length(words): the words sorted by length, words of one length in their old order
  ['bb', 'a'] ; [] ; ['cc', 'bb', 'a'] ; ['x']
  sorted(words, key=len) => ['a', 'bb'] ; [] ; ['a', 'cc', 'bb'] ; ['x']
  words.sort(key=len) => None ; None ; None ; None
"""

# Question; what `search` finds; what `lookup` finds; true items / false ones: what each rollout
# names (a to d are true, x and y false, * cites its sources).
SEARCH = """
Which ferries on Orrin Sound carry cars?
  Orrin ferries => Heron and Petrel take cars on every crossing. Skua is for walkers only.
  Orrin fleet / Decks => Gannet and Tern have car decks. Plover carries freight, but no cars.
  Heron, Petrel, Gannet, Tern / Skua, Plover: abcd* abcd abx ay
Who has kept the light at Brenn Rock since 1950?
  Brenn Rock keepers => Ada Voss kept it from 1950, Piet Ruhl from 1961. Jon Hale left in 1948.
  Brenn Rock / Staff => Mara Lind came in 1974, Tomas Eik in 1990. Rolf Anders repairs the lamp.
  Ada Voss, Piet Ruhl, Mara Lind, Tomas Eik / Jon Hale, Rolf Anders: abcd* dcba* abcd bx
Which rivers flow into Lake Marrow?
  Lake Marrow rivers => From the north come the Silda and the Orbe. The Lusk leaves the lake.
  Lake Marrow / Inflow => The Tann and the Vire reach it from the east. The Wend ends in a marsh.
  Silda, Orbe, Tann, Vire / Lusk, Wend: abcd* abc* abcx a*
Which plays did the Halden troupe put on in its first season?
  Halden troupe plays => It opened with The Glass Oar, then Three Candles. Winter Mail came later.
  Halden troupe / Season 1 => Spring brought Salt Road and A Quiet Toll. Nine Bells was dropped.
  The Glass Oar, Three Candles, Salt Road, A Quiet Toll / Winter Mail, Nine Bells: \
abcd* abcd abcdx* cdab*
Which minerals has the Kestrel mine sold?
  Kestrel mine ore => Copper was sold from the first year, zinc from the fifth. No gold was found.
  Kestrel mine / Sales => Later sales were silver and barite. The coal was burnt on the spot.
  copper, zinc, silver, barite / gold, coal: dcba abcd* ab xy
Which towns have a stop on the Ostby branch line?
  Ostby branch stops => Trains call at Ostby and Fenn. Trains pass through Marl without a stop.
  Ostby branch / Stops => Further stops are Lower Hythe and Quay. Port Hythe is reached by bus.
  Ostby, Fenn, Lower Hythe, Quay / Marl, Port Hythe: abcd* bacd* dcba* cdab*
Which instruments does the weather mast at Cape Tally carry?
  Cape Tally mast => It has a barometer and a rain gauge. The radar stands on the hill behind it.
  Cape Tally / Mast => An anemometer and a sun sensor were added. The ceilometer was never bought.
  barometer, rain gauge, anemometer, sun sensor / radar, ceilometer: abcd abc bacd* bd*
Which crops may be sown in March on the Dalen allotments?
  Dalen allotments March => Peas and broad beans may go in. Runner beans must wait for May.
  Dalen allotments / Calendar => Onions and spinach are also March crops. Squash is for June.
  peas, broad beans, onions, spinach / runner beans, squash: abcdx dcba* abcd bacdx*
In which languages is the Café Arvo phrase book printed?
  Arvo phrase book => There are Finnish and Greek editions. A Welsh one was planned in 2011.
  Arvo phrase book / Editions => Also in print: Malay and Basque. The Latin edition was a joke.
  Finnish, Greek, Malay, Basque / Welsh, Latin: abcd* cx bacd abx*
Which teams have won the Norrland quiz cup?
  Norrland quiz cup => The Owls won twice, the Larks once. The Foxes lost three finals.
  Norrland quiz cup / Winners => The Pikes and the Elks won in later years. The Moles withdrew.
  Owls, Larks, Pikes, Elks / Foxes, Moles: abc* acx dy abcd
"""

# Request; then the judge's reward and the text of each rollout.
WRITING = """
Write two sentences for a shop page about a desk lamp that dims by itself at dusk.
  0.97 As daylight fades, this lamp softens from bright white to a warm glow. There is nothing to \
set, so you can keep reading while the room settles down around you.
  0.71 This lamp dims at dusk all by itself. It is a good lamp for a desk and it is easy to use.
  0.58 Our lamp has a sensor which senses the light, and low light makes it lower its light. It \
suits desks.
  0.42 Lamp. Dims. Evening. Buy it today because it is the very best lamp in the whole world!!!
Write a short, friendly note that asks a neighbour to keep the bins off the shared path.
  0.96 Hi Jo, could your bins stand by the hedge instead of on the path? The pram only just gets \
by. Thank you, and do say if there is a snag. Sam
  0.95 Dear Jo, a small favour: on bin days the path is hard to pass with the bike. Would the spot \
behind the gate work for you? Many thanks, Sam
  0.63 Hello, please put your bins somewhere else than on the path as other people use it. Thanks.
  0.31 Your bins are in the way AGAIN. The path is not yours. Move them or I will call the council.
Tell a ten-year-old in three sentences why the sea is salty.
  1.0 Rain slowly wears away rocks and carries tiny bits of their salt through rivers to the sea. \
The sun turns sea water into vapour, but the salt stays behind. After millions of years of this, \
a lot of salt has piled up.
  0.82 Rivers bring salt from rocks to the sea. The water goes up into the clouds again but the \
salt cannot. So there is more and more of it.
  0.55 The salinity of the oceans results from weathering. Ions accumulate. Evaporation removes \
only the solvent.
  0.18 The sea is salty because fish need salt to live, and whales make it.
Turn these notes into one sentence: team meeting moved, Tuesday not Monday, room 4, bring budget.
  0.78 The team meeting has moved from Monday to Tuesday in room 4, so please bring your budget.
  0.74 Our team meeting is now on Tuesday instead of Monday, in room 4, and the budget is needed.
  0.69 Team meeting: Tuesday (not Monday), room 4, with the budget to be brought by everybody.
  0.66 Please note that the meeting of the team was moved and it is Tuesday, room 4, bring budget.
Write a haiku about a late train.
  0.98 Rails hum, then fall still / the clock on the platform yawns / two lamps in the fog
  null Ten minutes, it says / a sparrow takes my last crumb / ten minutes, it says
  0.47 The train is late now / I am waiting for the train / it is very late today
  0.24 My train did not come. I was angry. Then it came and I went home to have my dinner.
Write a subject line and a first sentence for a mail that invites colleagues to a book swap.
  0.81 Subject: Bring a book, take a book. On Thursday at noon the kitchen turns into a small \
library, and every book you bring is your ticket to another.
  0.79 Subject: Book swap this Thursday. Do you have a novel that deserves a second reader?
  0.68 Subject: Book swap. There will be a book swap on Thursday in the kitchen and all may come.
  0.64 Subject: Invitation. We would like to invite you to an event where books can be swapped.
"""

# One style a rollout, so that equal answers are told in different words.
THOUGHTS = (
    "I go step by step. {}",
    "First what is given, then what follows from it. {}",
    "A short way is enough here. {}",
    "Let me write it down and look at it again. {} That seems to fit.",
)
MATH_STYLES = (  # what stands between two steps, and the answer
    ("; ", "Worked out: {}.\n\nThe answer is \\boxed{{{}}}."),
    ("\n- ", "The steps:\n- {}\n\nSo we get \\boxed{{{}}}."),
    (", and then ", "We find {}. This gives \\boxed{{{}}}."),
    (". Next, ", "Here is how. To begin with, {}.\n\n**Answer:** \\boxed{{{}}}"),
)
CODE_STYLES = (  # inputs tried in one run, and the answer
    (2, "```python\n{}\n```\n\nA first run printed {}."),
    (2, "This is the function; two trial inputs gave {1}.\n\n```python\n{0}\n```"),
    (2, "```python\n{}\n```"),
    (1, "I tried one input after the other and keep this:\n\n```python\n{}\n```"),
)
SEARCH_STYLES = (
    "My count is {1}: {0}.",
    "Going by what I found, the answer is {0}.",
    "{0}. That makes {1} in all.",
    "I would list {0} ({1} in total).",
)
SEARCH_THOUGHTS = (
    "A search and the page itself can be asked for at the same time.",
    "One source may be incomplete, so I ask two at once.",
)


class Take(NamedTuple):
    """What one rollout does, and what the verifier makes of it."""

    output: list[Json]
    reward: float | None
    fields: Json


class Category(NamedTuple):
    """Prompts, how they are put to the model, its tools, and the four takes of a prompt's lines."""

    table: str
    question: str
    tools: list[Json]
    perform: Callable[[str, list[str], Random], list[Take]]


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def overlap(found: Iterable[str], wanted: Iterable[str]) -> float:
    a, b = set(found), set(wanted)
    return round(len(a & b) / len(a | b), 4)


def four(right: str, wrong: list[str], rng: Random) -> list[str]:
    """The wrong answers, filled up with the right one and shuffled."""
    return rng.sample([right] * (4 - len(wrong)) + wrong, 4)


def tool(name: str, description: str, **parameters: str) -> Json:
    """A flat function tool; each parameter is given as its type."""
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    about = {"type": "function", "name": name, "description": description}
    return about | {"parameters": schema | {"additionalProperties": False}, "strict": True}


def reasoning(text: str) -> Json:
    summary = [{"type": "summary_text", "text": text}]
    return {"type": "reasoning", "summary": summary, "content": None, "encrypted_content": None}


def ramble(opening: str) -> Json:
    """Reasoning that goes in circles until the tokens run out in the middle of a word."""
    doubt = " Or is it meant in another way? Let me read the question again, word by word."
    return reasoning((opening + doubt * 30)[:2000])


def message(text: str) -> Json:
    part: Json = {"type": "output_text", "text": text, "annotations": [], "logprobs": None}
    return {"type": "message", "role": "assistant", "content": [part], "status": "completed"}


def turn(rng: Random, thought: str, *calls: tuple[str, Json, str]) -> list[Json]:
    """One model call that thinks and calls tools (name, arguments, result), and their results."""
    asked, answered = [], []
    for name, arguments, result in calls:
        call = f"call_{rng.getrandbits(64):016x}"
        told = {"call_id": call, "name": name, "arguments": dumps(arguments)}
        asked.append({"type": "function_call", **told, "status": "completed"})
        answered.append({"type": "function_call_output", "call_id": call, "output": result})
    return [reasoning(thought), *asked, *answered]


def math_takes(head: str, rows: list[str], rng: Random) -> list[Take]:
    def results(chain: str) -> list[str]:
        return [step.rpartition("= ")[2] for step in chain.split("; ")]

    def take(chain: str, thought: str, style: tuple[str, str]) -> Take:
        steps, (glue, text) = chain.split("; "), style
        answer = None if chain == CUT else results(chain)[-1]
        told = message(text.format(glue.join(steps), answer))
        thoughts = " ".join(f"{step[0].upper()}{step[1:]}." for step in steps)
        output = [reasoning(thought.format(thoughts)), told]
        accuracy = float(answer == expected[-1])
        scores = {"accuracy": accuracy, "set_overlap": overlap(results(chain), expected)}
        answers = {"expected_answer": expected[-1], "extracted_answer": answer}
        return Take(output if answer else [ramble(head)], accuracy, scores | answers)

    right, *wrong = rows
    expected = results(right)
    return list(map(take, four(right, wrong, rng), THOUGHTS, MATH_STYLES))


def code_takes(head: str, rows: list[str], rng: Random) -> list[Take]:
    def run(code: str, given: list[str], tried: slice) -> tuple[str, Json, str]:
        shown = ", ".join(f"{name}({test})" for test in tests[tried])
        arguments = {"code": f"{code}\n\nprint([{shown}])"}
        return "run_python", arguments, f"[{', '.join(given[tried])}]\n"

    def take(row: str, thought: str, style: tuple[int, str]) -> Take:
        body, _, results = (right if row == CUT else row).partition(" => ")
        code, given = f"def {signature}:\n    return {body}", results.split(" ; ")
        size, text = style
        output = turn(rng, thought.format(f"I need {meaning}."), run(code, given, slice(size)))
        if size == 1:
            output += turn(rng, "And now the other input.", run(code, given, slice(1, 2)))
        answer = message(text.format(code, f"`[{', '.join(given[:2])}]`"))
        output.append(ramble("That runs.") if row == CUT else answer)
        handed_in = [] if row == CUT else given
        passed = sum(map(eq, handed_in, expected))
        scores = {"accuracy": passed / 4, "set_overlap": overlap(handed_in, expected)}
        return Take(output, passed / 4, {"tests_passed": passed, **scores})

    signature, _, meaning = head.partition(": ")
    name, tests = signature.partition("(")[0], rows[0].split(" ; ")
    right, *wrong = rows[1:]
    expected = right.partition(" => ")[2].split(" ; ")
    return list(map(take, four(right, wrong, rng), THOUGHTS, CODE_STYLES))


def search_takes(head: str, rows: list[str], rng: Random) -> list[Take]:
    def take(pick: str, style: str) -> Take:
        keys, cited = pick.rstrip("*"), pick.endswith("*")
        named = ", ".join(names[key] for key in keys)
        search = ("search", {"query": query, "max_results": 3}, dumps({"results": [hit]}))
        lookup = ("lookup", {"title": title, "section": section}, text)
        sources = f"\n\nSources: search for '{query}'; {title}, section '{section}'."
        output = [
            *turn(rng, rng.choice(SEARCH_THOUGHTS), search, lookup),
            reasoning(f"Both results together leave me with {named}."),
            message(style.format(named, len(keys)) + sources * cited),
        ]
        recall, both = len({*keys} & {*"abcd"}) / 4, overlap(keys, "abcd")
        reward = round(0.6 * recall + 0.35 * both + 0.05 * cited, 2)
        return Take(output, reward, {"accuracy": recall, "set_overlap": both})

    (query, hit), (page, text) = (row.split(" => ") for row in rows[:2])
    title, section = page.split(" / ")
    items, picks = rows[2].split(": ")
    names = dict(zip("abcdxy", items.replace(" / ", ", ").split(", "), strict=True))
    return list(map(take, rng.sample(picks.split(), 4), SEARCH_STYLES))


def writing_takes(head: str, rows: list[str], rng: Random) -> list[Take]:
    def take(row: str) -> Take:
        judged, _, text = row.partition(" ")
        reward = None if judged == "null" else float(judged)
        score = None if reward is None else round(reward * 10)
        return Take([message(text.replace(" / ", "\n"))], reward, {"judge_score": score})

    return list(map(take, rng.sample(rows, 4)))


RUN_PYTHON = tool("run_python", "Run Python code and return what it prints.", code="string")
LOOK_UP = tool("lookup", "Read one section of a page.", title="string", section="string")
FIND = tool("search", "Search all pages.", query="string", max_results="integer")

CATEGORIES = {
    "MATH": Category(MATH, "{} Put the answer in \\boxed{{}}.", [], math_takes),
    "CODE": Category(CODE, "Write and try this function.\n\n{}", [RUN_PYTHON], code_takes),
    "SEARCH": Category(SEARCH, "{} Name your sources.", [FIND, LOOK_UP], search_takes),
    "WRITING": Category(WRITING, "{}", [], writing_takes),
}


def prompts(table: str) -> list[list[str]]:
    """The lines of each prompt of a table, without their indent."""
    return [block.split("\n  ") for block in re.split(r"\n(?! )", table.strip())]


def request(name: str, head: str) -> Json:
    category = CATEGORIES[name]
    system = f"You are a careful assistant.\nCategory: {name}"
    said = {"system": system, "user": category.question.format(head)}
    return {
        "input": [{"role": role, "content": said[role], "type": "message"} for role in said],
        "instructions": None,
        "max_output_tokens": 512,
        "metadata": None,
        "parallel_tool_calls": True,
        "temperature": 0.7,
        "tool_choice": "auto",
        "tools": category.tools,
        "top_p": 0.95,
    }


def response(asked: Json, output: list[Json], index: int) -> Json:
    rng = Random(f"{SEED} {index}")
    prefixes = {"reasoning": "rs", "message": "msg", "function_call": "fc"}
    names = [f"{prefixes.get(item['type'], 'fco')}_{rng.getrandbits(64):016x}" for item in output]
    said = [item for item in output if item["type"] in prefixes]
    read, made = (len(dumps(part)) // 4 for part in ([asked["input"], asked["tools"]], said))
    cut = output[-1]["type"] == "reasoning"
    made = asked["max_output_tokens"] if cut else made
    echoed = ("parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p")
    return {
        "id": f"resp_{rng.getrandbits(96):024x}",
        "created_at": STARTED + index,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": "example-model",
        "object": "response",
        "output": [{"id": name, **item} for name, item in zip(names, output, strict=True)],
        **{key: asked[key] for key in echoed},
        "status": "incomplete" if cut else "completed",
        "usage": {"input_tokens": read, "output_tokens": made, "total_tokens": read + made},
    }


def line(name: str, asked: Json, take: Take, task: int, rollout: int) -> Json:
    agent = "tool_agent" if asked["tools"] else "reasoning_agent"
    return {
        "responses_create_params": asked,
        "response": response(asked, take.output, 4 * task + rollout),
        "reward": take.reward,
        **take.fields,
        **({"mask_sample": True} if (task, rollout) == MASKED else {}),
        "metadata": {"task_type": name.lower()},
        "_ng_task_index": task,
        "_ng_rollout_index": rollout,
        "agent_ref": {"type": "responses_api_agents", "name": agent},
    }


def rollouts() -> list[Json]:
    """All good lines, in the order in which they were completed."""
    tasks = [(name, rows) for name in CATEGORIES for rows in prompts(CATEGORIES[name].table)]
    Random(SEED).shuffle(tasks)
    lines = []
    for task, (name, (head, *rows)) in enumerate(tasks):
        asked = request(name, head)
        takes = CATEGORIES[name].perform(head, rows, Random(f"{SEED} {head}"))
        lines += [line(name, asked, take, task, rollout) for rollout, take in enumerate(takes)]
    Random(SEED).shuffle(lines)
    return lines


def sample() -> str:
    """The text of the sample, with three bad lines among the good ones."""
    good = rollouts()
    lines = list(map(dumps, good))
    lines.insert(151, dumps(good[160] | {"reward": math.nan}))
    lines.insert(97, dumps({"detail": "Internal Server Error"}))
    lines.insert(40, lines[60][: len(lines[60]) // 2])
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sample_path().write_text(sample(), encoding="utf-8", newline="\n")
