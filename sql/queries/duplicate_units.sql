-- Which units of one layer fire alike, so that one of them adds nothing?
-- Live units that share at least half of their top images, and whose activations correlate.
--   $least: double = 0.9; the lowest correlation
--   $top: integer = 50; how many pairs of units
with pictures as (
    select
        top_images.layer_id,
        top_images.probe_id,
        top_images.unit,
        top_images.image_id,
        count(*) over (partition by top_images.layer_id, top_images.probe_id, top_images.unit) as images
    from store.top_images
    inner join store.units using (layer_id, probe_id, unit)
    -- where a unit fires for few images, the rest of its top images stand there by their order alone
    where units.status = 'live' and top_images.activation > units.mean
),

closest as (
    select
        a.layer_id,
        a.probe_id,
        a.unit as unit_a,
        b.unit as unit_b,
        count(*) as shared_images
    from pictures as a
    inner join pictures as b using (layer_id, probe_id, image_id)
    where a.unit < b.unit
    group by all
    having count(*) * 2 >= any_value(a.images)
),

correlations as (
    select
        closest.layer_id,
        closest.probe_id,
        closest.unit_a,
        closest.unit_b,
        closest.shared_images,
        corr(a.activation, b.activation) as correlation
    from closest
    inner join store.activations as a on closest.layer_id = a.layer_id and closest.unit_a = a.unit
    inner join store.activations as b
        on closest.layer_id = b.layer_id and closest.unit_b = b.unit and a.image_id = b.image_id
    inner join store.images on a.image_id = images.image_id and closest.probe_id = images.probe_id
    group by all
)

select
    models.name as model,
    layers.name as layer,
    correlations.unit_a,
    correlations.unit_b,
    correlations.shared_images,
    correlations.correlation,
    probes.name as probe
from correlations
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.probes using (probe_id)
where correlations.correlation >= $least::double
order by correlations.correlation desc, models.name asc, layers.position asc, correlations.unit_a asc
limit $top::integer
