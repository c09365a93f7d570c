-- Which units, of any layer and model, share top images with each live unit of one layer?
-- Those that share most come first. That says less than the correlations that nearest_units has for one unit, and is
-- known for a whole layer in no time.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $top: integer = 8; how many units of each
--   $probe: text = ; the probe; each where not given
with keys as (
    select
        layers.layer_id,
        probes.probe_id
    from store.models
    inner join store.layers using (model_id)
    cross join store.probes
    where
        models.name = $model
        and layers.name = $layer
        and ($probe::varchar is null or probes.name = $probe::varchar)
),

-- where a unit fires for few images, the rest of its top images stand there by their order alone
fired as (
    select
        top_images.layer_id,
        top_images.probe_id,
        top_images.unit,
        top_images.image_id
    from store.top_images
    inner join keys on top_images.probe_id = keys.probe_id
    inner join store.units
        on
            top_images.layer_id = units.layer_id
            and top_images.probe_id = units.probe_id
            and top_images.unit = units.unit
    where units.status = 'live' and top_images.activation > units.mean
),

own as (
    select
        fired.layer_id,
        fired.probe_id,
        fired.unit,
        fired.image_id
    from fired
    inner join keys using (layer_id, probe_id)
),

shared as (
    select
        own.probe_id,
        own.unit,
        fired.layer_id as near_layer_id,
        fired.unit as near_unit,
        count(*) as shared_images
    from own
    inner join fired using (probe_id, image_id)
    where own.layer_id <> fired.layer_id or own.unit <> fired.unit
    group by own.probe_id, own.unit, fired.layer_id, fired.unit
)

select
    shared.unit,
    models.name as near_model,
    layers.name as near_layer,
    shared.near_unit,
    shared.shared_images,
    probes.name as probe
from shared
inner join store.probes using (probe_id)
inner join store.layers on shared.near_layer_id = layers.layer_id
inner join store.models using (model_id)
qualify
    row_number() over (
        partition by shared.probe_id, shared.unit
        order by shared.shared_images desc, models.name asc, layers.position asc, shared.near_unit asc
    ) <= $top::integer
order by
    probes.name asc,
    shared.unit asc,
    shared.shared_images desc,
    models.name asc,
    layers.position asc,
    shared.near_unit asc
