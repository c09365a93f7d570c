-- A layer that was known by what was imported for it, now that more is known.
update store.layers
set
    position = $position,
    units = $units,
    pooling = $pooling,
    receptive_field = $receptive_field
where layer_id = $layer_id
