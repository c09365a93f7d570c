-- Every embedding has its encoder's dimensions and length 1, and each concept is embedded once for a prompts.
-- An image that the encoder gives no direction has an embedding of zeros.
with embeddings as (
    select
        encoder_id,
        'image' as kind,
        null::varchar[] as prompts,
        image_id as number,
        embedding
    from store.image_embeddings
    union all
    select
        encoder_id,
        'concept' as kind,
        prompts,
        concept_id as number,
        embedding
    from store.concept_embeddings
),

measured as (
    select
        embeddings.encoder_id,
        embeddings.kind,
        embeddings.prompts,
        embeddings.number,
        encoders.dimensions,
        count(*) as times,
        max(len(embeddings.embedding)) as values_found,
        max(abs(sqrt(list_inner_product(embeddings.embedding, embeddings.embedding)) - 1)) as error
    from embeddings
    left join store.encoders using (encoder_id)
    group by all
)

select *
from measured
where
    values_found is distinct from dimensions
    or (kind = 'concept' and times > 1)
    or (error < 0.001 or (kind = 'image' and error = 1)) is distinct from true
