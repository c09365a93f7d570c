"""Networks by name, a user's own and saved ones, with weights, preprocessing and identity.

Begin with models.py: a name, a file or a module becomes a `Model`. blueprints.py has the known ones, own_code.py and
saved.py load what users bring, identity/ tells two networks apart by the code that runs.
"""
