-- What are the units of one layer, and how far to believe what is said of them?
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
with labels as (
    select *
    from unit_labels
    where
        setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
        and model = $model
        and layer = $layer
),

named as (
    select distinct
        model,
        layer,
        probe
    from labels
),

-- by the numbers of layer and probe, so that DuckDB reads no other layer's activations
keys as (
    select
        layers.layer_id,
        probes.probe_id,
        min(images.image_id) as first_image_id,
        max(images.image_id) as last_image_id
    from named
    inner join store.models on named.model = models.name
    inner join store.layers on models.model_id = layers.model_id and named.layer = layers.name
    inner join store.probes on named.probe = probes.name
    inner join store.images on probes.probe_id = images.probe_id
    group by layers.layer_id, probes.probe_id
),

halves as (
    select
        units.layer_id,
        units.probe_id,
        units.unit,
        keys.first_image_id,
        keys.last_image_id,
        units.mean,
        units.maximum,
        (units.mean + units.maximum) / 2 as half_way
    from keys
    inner join store.units using (layer_id, probe_id)
    where units.status = 'live'
),

active as (
    select
        halves.unit,
        avg((activations.activation > halves.half_way)::integer) as active_share
    from halves
    inner join store.activations using (layer_id, unit)
    where activations.image_id between halves.first_image_id and halves.last_image_id
    group by halves.unit
)

select
    labels.unit,
    labels.explanation,
    labels.concept,
    labels.category,
    labels.confidence,
    labels.holds,
    labels.held_out_correlation,
    labels.ceiling,
    -- of the images, those that excite the unit at least half as far above its mean as its best one
    active.active_share,
    halves.mean as mean_activation,
    halves.maximum as highest_activation,
    labels.similarity,
    labels.q_value,
    labels.status
from labels
left join halves using (unit)
left join active using (unit)
order by labels.unit asc
