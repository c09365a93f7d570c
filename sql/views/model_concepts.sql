-- One row per model and concept it learned: how many of its neurons, over its layers, have this label.
-- Layers are counted together only where they were scored under the same setting.
--   units: units of the model with this label
--   layers: layers that hold such units
--   rank: 1 for the concept with the most units; equal counts share a rank
--   significant: how many of those labels are better than chance (q < 0.05); null where none has a q_value
--   held: how many of those labels hold, see unit_labels; null where that is not known of any
select
    model,
    concept,
    category,
    sum(units)::bigint as units,
    count(*) as layers,
    rank() over (
        partition by setting, model
        order by sum(units) desc
    ) as rank,
    sum(significant)::bigint as significant,
    any_value(method) as method,
    any_value(encoder) as encoder,
    any_value(concept_set) as concept_set,
    any_value(probe) as probe,
    any_value(pooling) as pooling,
    setting,
    sum(held)::bigint as held
from concept_frequency
group by
    setting,
    model,
    concept,
    category
