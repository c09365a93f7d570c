-- One row per concept that is in a label of a scoring, at any place: concept_frequency with every term of every label.
--   units: units of the layer whose label has the concept
--   first: how many of them have it first, which is what concept_frequency counts
--   negative: how many of them have it with a weight below 0: such a unit goes down with the concept
--   share: the units as a share of all units of the layer
--   rank: 1 for the concept in the labels of the most units; equal counts share a rank
--   mean_weight: mean of its weights, which are 1 where a label is one concept
--   mean_share: mean of its shares of what the labels explain, see unit_terms; null where no label was judged
--   held: how many of those labels hold, see unit_labels; null where that is not known of any
select
    unit_terms.scoring,
    unit_terms.model,
    unit_terms.layer,
    unit_terms.concept,
    unit_terms.category,
    count(*) as units,
    count(*) filter (unit_terms.position = 0) as first,
    count(*) filter (unit_terms.weight < 0) as negative,
    count(*) / any_value(scorings.units) as share,
    rank() over (partition by unit_terms.scoring order by count(*) desc) as rank,
    avg(unit_terms.weight) as mean_weight,
    avg(unit_terms.share) as mean_share,
    sum(unit_labels.holds::integer)::bigint as held,
    any_value(scorings.method) as method,
    any_value(scorings.encoder) as encoder,
    any_value(scorings.concept_set) as concept_set,
    any_value(scorings.probe) as probe,
    any_value(scorings.pooling) as pooling,
    any_value(scorings.position) as position,
    any_value(scorings.setting) as setting
from unit_terms
inner join scorings using (scoring)
inner join unit_labels using (scoring, unit)
group by
    unit_terms.scoring,
    unit_terms.model,
    unit_terms.layer,
    unit_terms.concept,
    unit_terms.category
