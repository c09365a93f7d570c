-- Which units does one image excite most?
-- excitement is where the image stands between the unit's mean over the probe (0) and its maximum (1), so that
-- units of all layers compare.
-- Of probes that have an image of the same path, that of the setting counts.
--   $image: text; path of the image, or a part of it that names no other
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 20; how many units
with of_setting as (
    select distinct keys.probe_id
    from scorings
    inner join store.scorings as keys on scorings.scoring = keys.scoring_id
    where scorings.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
),

chosen as (
    select
        image_id,
        probe_id,
        path
    from store.images
    where contains(path, $image::varchar)
    -- the path itself comes before longer ones that it is a part of
    order by
        path <> $image::varchar asc,
        probe_id not in (select of_setting.probe_id from of_setting) asc,
        image_id asc
    limit 1
),

excited as (
    select
        units.layer_id,
        units.probe_id,
        units.unit,
        chosen.path,
        activations.activation,
        (activations.activation - units.mean) / (units.maximum - units.mean) as excitement
    from chosen
    inner join store.activations using (image_id)
    inner join store.units
        on
            activations.layer_id = units.layer_id
            and activations.unit = units.unit
            and chosen.probe_id = units.probe_id
    where units.status = 'live'
)

select
    models.name as model,
    layers.name as layer,
    excited.unit,
    excited.excitement,
    excited.activation,
    labels.concept,
    labels.is_significant,
    labels.confidence,
    labels.holds,
    excited.path as image
from excited
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.probes using (probe_id)
left join unit_labels as labels
    on
        models.name = labels.model
        and layers.name = labels.layer
        and excited.unit = labels.unit
        and probes.name = labels.probe
        and labels.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
order by excited.excitement desc, models.name asc, layers.position asc, excited.unit asc
limit $top::integer
