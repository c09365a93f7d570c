-- One row per concept that labels at least one unit of a scoring: the most frequent concepts per layer.
-- Of a label of several concepts the first counts; term_frequency counts all.
--   units: units of the layer with this label
--   share: those units as a share of all units of the layer
--   rank: 1 for the concept with the most units; equal counts share a rank
--   mean_similarity: mean score of those labels
--   significant: how many of those labels are better than chance (q < 0.05); null where none has a q_value
--   held: how many of those labels hold, see unit_labels; null where that is not known of any
select
    unit_labels.scoring,
    unit_labels.model,
    unit_labels.layer,
    unit_labels.concept,
    unit_labels.category,
    count(*) as units,
    count(*) / any_value(scorings.units) as share,
    rank() over (partition by unit_labels.scoring order by count(*) desc) as rank,
    avg(unit_labels.similarity) as mean_similarity,
    sum(unit_labels.is_significant::integer)::bigint as significant,
    any_value(scorings.method) as method,
    any_value(scorings.encoder) as encoder,
    any_value(scorings.concept_set) as concept_set,
    any_value(scorings.probe) as probe,
    any_value(scorings.pooling) as pooling,
    any_value(scorings.position) as position,
    any_value(scorings.setting) as setting,
    sum(unit_labels.holds::integer)::bigint as held
from unit_labels
inner join scorings using (scoring)
where unit_labels.concept is not null
group by
    unit_labels.scoring,
    unit_labels.model,
    unit_labels.layer,
    unit_labels.concept,
    unit_labels.category
