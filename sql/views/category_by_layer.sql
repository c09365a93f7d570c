-- One row per scoring and category of its labels: from low-level to high-level concepts through the depth.
--   units: units of the layer whose label is of this category
--   share: those units as a share of the layer's labelled units
select
    scoring,
    model,
    layer,
    category,
    count(*) as units,
    count(*) / sum(count(*)) over (partition by scoring) as share,
    position,
    any_value(method) as method,
    any_value(encoder) as encoder,
    any_value(concept_set) as concept_set,
    any_value(probe) as probe,
    any_value(pooling) as pooling,
    any_value(setting) as setting
from unit_labels
where concept is not null
group by
    scoring,
    model,
    layer,
    position,
    category
