"""The commands of `cli`, grouped by what they do."""
