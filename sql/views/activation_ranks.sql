-- One row per live unit and image: where the image stands among all images of its probe, by the unit's activation.
--   image: path of the image, relative to the probe
--   label: the image's own
--   activation_rank: 1 for the lowest activation, and as many as there are images for the highest; images of equal
--     activation share the mean of their places
--   image_id: number of the image
select
    models.name as model,
    layers.name as layer,
    activations.unit,
    probes.name as probe,
    images.path as image,
    images.label,
    activations.activation,
    -- the mean of the lowest and the highest place among equals
    (rank() over by_activation + count(*) over by_activation) / 2 as activation_rank,
    activations.image_id
from store.activations
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.images using (image_id)
inner join store.probes using (probe_id)
inner join store.units
    on
        activations.layer_id = units.layer_id
        and images.probe_id = units.probe_id
        and activations.unit = units.unit
        and units.status = 'live'
window by_activation as (
    -- by the names that a reader filters by, so that only the chosen layer is read
    partition by models.name, layers.name, probes.name, activations.unit
    order by activations.activation
)
