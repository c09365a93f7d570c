-- One row per unit and image among the images that make the unit fire most.
--   rank: 1 for the highest activation; equal activations stand in the order of the probe
--   image: path of the image, relative to the probe
--   label: name of the folder that the image lies in
--   part: the probe that the image came from, where several were put together; else null
--   activation: pooled response of the unit to the image
--   peak_x: where the unit's map is highest, from the left of the whole image (0) to its right (1)
--   peak_y: the same from top (0) to bottom (1); null where the layer has no map
--   image_id: number of the image
select
    models.name as model,
    layers.name as layer,
    top_images.unit,
    top_images.rank,
    probes.name as probe,
    images.path as image,
    images.label,
    top_images.activation,
    top_images.peak_x,
    top_images.peak_y,
    layers.pooling,
    top_images.image_id,
    images.part
from store.top_images
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.probes on top_images.probe_id = probes.probe_id
inner join store.images on top_images.image_id = images.image_id
