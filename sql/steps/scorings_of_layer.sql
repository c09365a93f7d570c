-- All scorings of one layer, and what it takes to measure their labels.
with keys as (
    select
        scorings.* exclude (probe_id, encoder_id),
        -- of imported labels the images are not known, but those by which they were judged are
        coalesce(case when scorings.images = 0 then judgements.probe_id end, scorings.probe_id) as probe_id,
        coalesce(case when scorings.images = 0 then judgements.encoder_id end, scorings.encoder_id) as encoder_id
    from store.scorings
    left join store.judgements using (scoring_id)
)

select
    scorings.scoring,
    scorings.setting,
    scorings.method as shown_method,
    keys.method,
    keys.labeler,
    keys.parameters,
    keys.prompts,
    keys.layer_id,
    keys.concept_set_id,
    scorings.concept_set,
    keys.probe_id,
    probes.name as probe,
    keys.encoder_id,
    keys.images > 0 and keys.kept_concepts = scorings.concepts as has_matrix,
    exists(
        select 1
        from store.units
        where units.layer_id = keys.layer_id and units.probe_id = keys.probe_id
    ) as has_activations
from scorings
inner join keys on scorings.scoring = keys.scoring_id
inner join store.probes on keys.probe_id = probes.probe_id
where scorings.model = $model and scorings.layer = $layer
order by scorings.scoring
