-- Which images make each live unit of one layer fire most?
-- Over the probe of the setting; of a unit that fires for few images, no more than those.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 10; how many images of each unit, up to 20
select
    top_images.unit,
    top_images.rank,
    top_images.image_id
from store.top_images
inner join store.units using (layer_id, probe_id, unit)
inner join store.scorings using (layer_id, probe_id)
inner join scorings as named on scorings.scoring_id = named.scoring
where
    named.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and named.model = $model
    and named.layer = $layer
    and units.status = 'live'
    and top_images.activation > units.mean
    and top_images.rank <= $top::integer
order by top_images.unit asc, top_images.rank asc
