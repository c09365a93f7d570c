-- What a unit and a concept of the scoring's set have in common stands once, and is no more than their union. A label's
-- own pixels give its similarity, and where it is one concept they are that concept's.
with found as (
    select
        intersections.scoring_id,
        intersections.unit,
        intersections.concept_id,
        count(*) as times,
        min(intersections.intersection_pixels) as intersection_pixels,
        min(intersections.union_pixels) as union_pixels,
        count(concept_set_concepts.concept_id) as times_in_set,
        any_value(scorings.units) as units
    from store.intersections
    left join store.scorings using (scoring_id)
    left join store.concept_set_concepts
        on
            scorings.concept_set_id = concept_set_concepts.concept_set_id
            and intersections.concept_id = concept_set_concepts.concept_id
    group by intersections.scoring_id, intersections.unit, intersections.concept_id
),

plain_labels as (
    select
        labels.scoring_id,
        labels.unit,
        any_value(labels.similarity) as similarity,
        any_value(labels.intersection_pixels) as intersection_pixels,
        any_value(labels.union_pixels) as union_pixels,
        -- a file has as many digits of its scores as its writer liked
        any_value(case when scorings.images = 0 then 0.001 else 1e-6 end) as tolerance,
        any_value(scorings.images) = 0 as is_imported,
        case
            when count(*) = 1 and any_value(coalesce(try_cast(scorings.parameters ->> 'length' as integer), 1)) = 1
                then any_value(label_terms.concept_id)
        end as concept_id
    from store.labels
    inner join store.scorings using (scoring_id)
    left join store.label_terms using (scoring_id, unit)
    group by labels.scoring_id, labels.unit
)

select
    scoring_id,
    unit,
    concept_id,
    'intersections' as of_what,
    times,
    intersection_pixels,
    union_pixels,
    null as similarity
from found
where
    times > 1
    or times_in_set <> times
    or not unit between 0 and units - 1
    or not intersection_pixels between 0 and union_pixels
    or union_pixels <= 0
union all
select
    labels.scoring_id,
    labels.unit,
    labels.concept_id,
    'labels' as of_what,
    found.times,
    labels.intersection_pixels,
    labels.union_pixels,
    labels.similarity
from plain_labels as labels
left join found
    on
        labels.scoring_id = found.scoring_id
        and labels.unit = found.unit
        and labels.concept_id = found.concept_id
where
    (labels.intersection_pixels is null) <> (labels.union_pixels is null)
    or (
        labels.union_pixels is not null
        and (
            labels.union_pixels <= 0
            or not labels.intersection_pixels between 0 and labels.union_pixels
            or not coalesce(
                abs(labels.intersection_pixels / labels.union_pixels - labels.similarity) <= labels.tolerance,
                labels.is_imported
            )
        )
    )
    or (
        labels.concept_id is not null
        and (labels.union_pixels is not null or found.union_pixels is not null)
        and (
            found.intersection_pixels is distinct from labels.intersection_pixels
            or found.union_pixels is distinct from labels.union_pixels
        )
    )
