-- One row per unit and image of which it was kept where the unit is above its threshold, which is on its top images:
-- by the newest dissection of the layer over the probe.
--   image_id: number of the image
--   outline: an SVG path in a picture of 100 x 100 that is the whole image
with newest as (
    select
        dissections.layer_id,
        dissections.probe_id,
        max(dissections.dissection_id) as dissection_id
    from store.dissections
    where
        exists (
            select 1
            from store.outlines
            where outlines.dissection_id = dissections.dissection_id
        )
    group by dissections.layer_id, dissections.probe_id
)

select
    models.name as model,
    layers.name as layer,
    outlines.unit,
    probes.name as probe,
    outlines.image_id,
    outlines.outline
from newest
inner join store.outlines using (dissection_id)
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.probes on newest.probe_id = probes.probe_id
