-- One row per concept that at least two models learned under the same setting.
--   models: how many models
--   model_names: their names, in alphabetical order
--   units: units with this label, over all those models
--   fewest: units with this label in the model that has the fewest
--   held: how many of those labels hold, see unit_labels; null where that is not known of any
--   held_models: how many of the models have a unit whose label of this concept holds; null where held is
select
    concept,
    category,
    count(*) as models,
    string_agg(model, ', ' order by model) as model_names,
    sum(units)::bigint as units,
    min(units) as fewest,
    any_value(method) as method,
    any_value(encoder) as encoder,
    any_value(concept_set) as concept_set,
    any_value(probe) as probe,
    any_value(pooling) as pooling,
    setting,
    sum(held)::bigint as held,
    case when count(held) > 0 then count(*) filter (held > 0) end as held_models
from model_concepts
group by
    setting,
    concept,
    category
having count(*) > 1
