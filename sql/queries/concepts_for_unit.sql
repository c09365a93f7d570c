-- What are the best concepts of one unit?
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $top: integer = 10; how many concepts
--   $setting: integer = ; settings to count under, as numbered in the view scorings; the newest where not given
select
    similarities.concept,
    similarities.similarity,
    scorings.method,
    similarities.scoring
from similarities
inner join scorings using (scoring)
where
    scorings.setting = coalesce($setting::integer, (select max(newest.setting) from scorings as newest))
    and similarities.model = $model and similarities.layer = $layer and similarities.unit = $unit::integer
order by similarities.similarity desc, similarities.concept asc
limit $top::integer
