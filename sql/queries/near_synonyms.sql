-- Which labels nearly mean the same, such as dotted and dots, and what do the counts become when they are merged?
-- Pairs of labels of one setting whose embeddings nearly coincide, with the units of each model.
--   $least: double = 0.95; the lowest cosine of their embeddings
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
with used as (
    select
        labels.model,
        labels.concept,
        labels.units,
        labels.setting
    from model_concepts as labels
    where labels.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
),

embedded as (
    select distinct
        used.concept,
        concept_embeddings.embedding
    from used
    inner join store.scorings on used.setting = scorings.scoring_id
    inner join store.concepts on used.concept = concepts.concept
    inner join store.concept_embeddings
        on
            concepts.concept_id = concept_embeddings.concept_id
            and scorings.encoder_id = concept_embeddings.encoder_id
            and scorings.prompts = concept_embeddings.prompts
),

synonyms as (
    select
        a.concept as concept_a,
        b.concept as concept_b,
        list_inner_product(a.embedding, b.embedding) as cosine
    from embedded as a
    inner join embedded as b on a.concept < b.concept
    where list_inner_product(a.embedding, b.embedding) >= $least::double
)

select
    used.model,
    synonyms.concept_a,
    synonyms.concept_b,
    synonyms.cosine,
    coalesce(sum(used.units) filter (used.concept = synonyms.concept_a), 0)::bigint as units_a,
    coalesce(sum(used.units) filter (used.concept = synonyms.concept_b), 0)::bigint as units_b,
    sum(used.units)::bigint as units_merged
from synonyms
inner join used on used.concept in (synonyms.concept_a, synonyms.concept_b)
group by all
order by synonyms.cosine desc, synonyms.concept_a asc, synonyms.concept_b asc, used.model asc
