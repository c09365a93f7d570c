-- What are the best concepts of one unit?
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $top: integer = 10; how many concepts
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    similarities.concept,
    similarities.similarity,
    scorings.method,
    similarities.scoring
from similarities
inner join scorings using (scoring)
where
    scorings.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and similarities.model = $model and similarities.layer = $layer and similarities.unit = $unit::integer
order by similarities.similarity desc, similarities.concept asc
limit $top::integer
