-- Under which settings were layers scored, the newest first? Counts compare only within one of these.
select
    setting,
    any_value(method) as method,
    any_value(encoder) as encoder,
    any_value(concept_set) as concept_set,
    any_value(probe) as probe,
    any_value(pooling) as pooling,
    count(distinct model) as models,
    count(*) as layers
from scorings
group by setting
order by max(scoring) desc
