-- One row per unit and image: the raw table, with names.
--   image: path of the image, relative to the probe
--   activation: pooled response of the unit to the image; null where it was not a finite number
--   image_id: number of the image
select
    models.name as model,
    layers.name as layer,
    activations.unit,
    probes.name as probe,
    images.path as image,
    activations.activation,
    images.label,
    layers.pooling,
    activations.image_id
from store.activations
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.images using (image_id)
inner join store.probes using (probe_id)
