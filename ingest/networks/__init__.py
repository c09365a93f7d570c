"""Networks by name, a user's own and saved ones, with weights, preprocessing and identity.

Begin with models.py: a name, a file or a module becomes a `Model`. known_by_name.py has the published ones,
own_networks.py what users bring: factories.py calls their Python, torchscript.py is all that that format needs. Files
that hold code are read only where they are trusted. identity/ tells two networks apart by the code that runs;
running.py and lending.py run them and give them back as they were.
"""
