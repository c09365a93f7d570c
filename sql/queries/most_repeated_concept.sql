-- Which one concept did the most neurons of each model learn, and how many?
--   $setting: integer = ; settings to count under, as numbered in the view scorings; the newest where not given
select
    model,
    string_agg(concept, ', ' order by concept) as concepts,
    any_value(units) as units
from model_concepts
where
    setting = coalesce($setting::integer, (select max(setting) from scorings))
    and rank = 1
group by model
order by model
