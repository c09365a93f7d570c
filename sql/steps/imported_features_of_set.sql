-- Whether features of all concepts of a set were imported, which wait to be scored.
with imported as (
    select distinct concept_id
    from store.concept_embeddings
    inner join store.encoders using (encoder_id)
    where encoders.source_kind = 'imported'
)

select bool_and(concept_id in (select concept_id from imported)) as is_imported
from store.concept_set_concepts
where concept_set_id = $concept_set_id
