-- Which units of two models fire on the same images?
-- Live units that share top images, those that share most first; correlation is that of their activations over
-- all images of the probe.
--   $model_a: text = ; name of one model; any where not given
--   $model_b: text = ; name of the other
--   $top: integer = 20; how many pairs of units
with pictures as (
    select
        top_images.layer_id,
        top_images.probe_id,
        top_images.unit,
        top_images.image_id,
        layers.model_id,
        models.name as model,
        layers.name as layer
    from store.top_images
    inner join store.units using (layer_id, probe_id, unit)
    inner join store.layers using (layer_id)
    inner join store.models using (model_id)
    -- where a unit fires for few images, the rest of its top images stand there by their order alone
    where units.status = 'live' and top_images.activation > units.mean
),

closest as (
    select
        a.probe_id,
        a.model as model_a,
        a.layer as layer_a,
        a.layer_id as layer_id_a,
        a.unit as unit_a,
        b.model as model_b,
        b.layer as layer_b,
        b.layer_id as layer_id_b,
        b.unit as unit_b,
        count(*) as shared_images
    from pictures as a
    inner join pictures as b using (probe_id, image_id)
    where
        a.model < b.model
        and ($model_a::varchar is null or $model_a::varchar in (a.model, b.model))
        and ($model_b::varchar is null or $model_b::varchar in (a.model, b.model))
    group by all
    order by shared_images desc, model_a asc, layer_a asc, unit_a asc, model_b asc, layer_b asc, unit_b asc
    limit $top::integer
),

correlations as (
    select
        closest.probe_id,
        closest.layer_id_a,
        closest.unit_a,
        closest.layer_id_b,
        closest.unit_b,
        corr(a.activation, b.activation) as correlation
    from closest
    inner join store.activations as a on closest.layer_id_a = a.layer_id and closest.unit_a = a.unit
    inner join store.activations as b
        on closest.layer_id_b = b.layer_id and closest.unit_b = b.unit and a.image_id = b.image_id
    inner join store.images on a.image_id = images.image_id and closest.probe_id = images.probe_id
    group by all
)

select
    closest.model_a,
    closest.layer_a,
    closest.unit_a,
    closest.model_b,
    closest.layer_b,
    closest.unit_b,
    closest.shared_images,
    correlations.correlation,
    probes.name as probe
from closest
inner join correlations using (probe_id, layer_id_a, unit_a, layer_id_b, unit_b)
inner join store.probes using (probe_id)
order by closest.shared_images desc, correlations.correlation desc, closest.model_a asc, closest.unit_a asc
