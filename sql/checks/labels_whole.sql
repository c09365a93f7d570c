-- Every scoring has one label for each unit of its layer. Those that are not live have no concept, and those that go
-- with none have no similarity and no intercept either.
with expected as (
    select
        scoring_id,
        layer_id,
        probe_id,
        unnest(range(units))::integer as unit
    from store.scorings
),

labelled as (
    select
        scoring_id,
        unit,
        count(*) as labels,
        bool_or(similarity is not null or intercept is not null) as has_score
    from store.labels
    group by scoring_id, unit
),

with_concept as (
    select distinct
        scoring_id,
        unit
    from store.label_terms
),

found as (
    select
        labelled.*,
        with_concept.unit is not null as has_concept
    from labelled
    left join with_concept using (scoring_id, unit)
)

select
    scoring_id,
    unit,
    coalesce(found.labels, 0) as labels,
    found.has_concept,
    units.status
from expected
full join found using (scoring_id, unit)
left join store.units
    on
        expected.layer_id = units.layer_id
        and expected.probe_id = units.probe_id
        and expected.unit = units.unit
where
    expected.unit is null
    or found.labels is distinct from 1
    or found.has_concept and units.status <> 'live'
    or not found.has_concept and found.has_score
