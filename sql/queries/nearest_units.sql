-- Which units, of any layer and model, fire as one unit does?
-- Of the live units that share most top images with it, those whose activations over all images correlate most.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $top: integer = 8; how many units
--   $candidates: integer = 20; of how many, by shared top images, the correlation is computed
--   $setting: integer = ; whose labels to show: its number, or a method that only one has; the newest where not given
--   $probe: text = ; the probe; each where not given
with chosen as (
    select
        layers.layer_id,
        probes.probe_id,
        $unit::integer as unit
    from store.layers
    inner join store.models using (model_id)
    cross join store.probes
    where
        models.name = $model
        and layers.name = $layer
        and ($probe::varchar is null or probes.name = $probe::varchar)
),

-- where a unit fires for few images, the rest of its top images stand there by their order alone
own_images as (
    select
        top_images.probe_id,
        top_images.image_id
    from chosen
    inner join store.top_images using (layer_id, probe_id, unit)
    inner join store.units using (layer_id, probe_id, unit)
    where units.status = 'live' and top_images.activation > units.mean
),

candidates as (
    select
        top_images.layer_id,
        top_images.probe_id,
        top_images.unit,
        count(*) as shared_images
    from own_images
    inner join store.top_images using (probe_id, image_id)
    inner join store.units using (layer_id, probe_id, unit)
    where
        units.status = 'live'
        and top_images.activation > units.mean
        and (top_images.layer_id, top_images.unit) not in (select (chosen.layer_id, chosen.unit) from chosen)
    group by top_images.layer_id, top_images.probe_id, top_images.unit
    qualify
        row_number() over (
            partition by top_images.probe_id
            order by shared_images desc, top_images.layer_id asc, top_images.unit asc
        ) <= $candidates::integer
),

own_activations as (
    select
        chosen.probe_id,
        activations.image_id,
        activations.activation
    from chosen
    inner join store.activations using (layer_id, unit)
    inner join store.images using (image_id, probe_id)
),

correlations as (
    select
        candidates.layer_id,
        candidates.probe_id,
        candidates.unit,
        candidates.shared_images,
        corr(own_activations.activation, activations.activation) as correlation
    from candidates
    inner join store.activations using (layer_id, unit)
    inner join own_activations using (probe_id, image_id)
    group by candidates.layer_id, candidates.probe_id, candidates.unit, candidates.shared_images
)

select
    models.name as model,
    layers.name as layer,
    correlations.unit,
    labels.explanation,
    correlations.correlation,
    correlations.shared_images,
    labels.confidence,
    labels.holds,
    probes.name as probe
from correlations
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.probes using (probe_id)
left join unit_labels as labels
    on
        models.name = labels.model
        and layers.name = labels.layer
        and correlations.unit = labels.unit
        and probes.name = labels.probe
        and labels.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
qualify
    row_number() over (
        partition by correlations.probe_id
        order by correlations.correlation desc, models.name asc, layers.position asc, correlations.unit asc
    ) <= $top::integer
order by probes.name asc, correlations.correlation desc, models.name asc, layers.position asc, correlations.unit asc
