-- The cosine of two concepts of each pair, as an encoder sees their texts; null where it has not embedded both.
with embedded as (
    select
        concepts.concept,
        concept_embeddings.embedding
    from store.concept_embeddings
    inner join store.concepts using (concept_id)
    where concept_embeddings.encoder_id = $encoder_id and concept_embeddings.prompts = $prompts
),

pairs as (
    select
        unnest($first::varchar[]) as first_text,
        unnest($second::varchar[]) as second_text,
        unnest(range(len($first::varchar[]))) as place
)

select list_inner_product(first_embedded.embedding, second_embedded.embedding) as cosine
from pairs
left join embedded as first_embedded on pairs.first_text = first_embedded.concept
left join embedded as second_embedded on pairs.second_text = second_embedded.concept
order by pairs.place
