-- What there is to predict the activations of a unit with, by its label under a setting: one row.
with asked as (
    select
        keys.scoring_id,
        keys.layer_id,
        labels.unit,
        keys.images > 0 as is_own,
        judgements.scoring_id is not null as is_judged,
        case when keys.images > 0 then keys.probe_id else judgements.probe_id end as probe_id,
        case when keys.images > 0 then keys.encoder_id else judgements.encoder_id end as encoder_id,
        case when keys.images > 0 then keys.prompts else ['{}'] end as prompts
    from scorings
    inner join store.scorings as keys on scorings.scoring = keys.scoring_id
    inner join store.labels on keys.scoring_id = labels.scoring_id
    left join store.judgements on keys.scoring_id = judgements.scoring_id
    where
        scorings.setting = $setting
        and scorings.model = $model
        and scorings.layer = $layer
        and labels.unit = $unit
),

terms as (
    select
        label_terms.position,
        concepts.concept,
        concept_embeddings.concept_id is null as is_unknown
    from asked
    inner join store.label_terms using (scoring_id, unit)
    inner join store.concepts using (concept_id)
    left join store.concept_embeddings
        on
            asked.encoder_id = concept_embeddings.encoder_id
            and asked.prompts = concept_embeddings.prompts
            and label_terms.concept_id = concept_embeddings.concept_id
)

select
    asked.is_own,
    asked.is_judged,
    probes.name as probe,
    encoders.name as encoder,
    coalesce(units.status, 'unknown') as status,
    exists (from terms) as has_label,
    (select min_by(terms.concept, terms.position) from terms where terms.is_unknown) as unknown_concept,
    exists (
        from store.chunks
        where chunks.layer_id = asked.layer_id
    ) as has_activations
from asked
left join store.probes using (probe_id)
left join store.encoders using (encoder_id)
left join store.units
    on asked.layer_id = units.layer_id and asked.probe_id = units.probe_id and asked.unit = units.unit
