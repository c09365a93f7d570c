"""The demo: what it dissects, and the pictures that it makes for it.

`recipe` gives its runs, `photographs` cuts photographs that come with a package, `pictures` draws what has exact masks
(`canvas`, `colors`, `shapes` and `textures` are its parts), and `folder` writes that as Broden's own folder.
"""
