"""Pixels to numbers: models, encoders, probes and concepts in; activations and labels out.

To be read in this order: `recipe`, what a run is asked to do; `plan`, a recipe with every name resolved and every input
checked; `run`, a plan carried out; `score`, labels made again from what is stored; `history`, what runs leave behind.
Then the folders, each for one part of the work: `probes` and `concepts`, what goes in; `networks`, `layers` and
`encoders`, what looks at it; `machines`, where that is done; `labelers`, activations to labels; `judging`, how far to
believe them; `importers`, what other tools wrote.
"""
