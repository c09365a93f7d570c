-- How often do two ways of labelling give a unit the same label: two methods, encoders, concept sets or probes?
-- Counted over the units that both of them label. kappa is the agreement beyond what two labellers with the same
-- favourite concepts would reach by chance: 1 for always, 0 for chance. The first concepts of labels are compared:
-- they are the same where their words are and, where one of them says its category as kitchen (scene) does, the other
-- has that category or none. Two labelers rarely use the same word, so mean_cosine says how near their words are: the
-- mean cosine of the embeddings of the two concepts, or else of their words, over the cosine_units of the units for
-- which cosine_encoder has embedded both, in no prompt. That is an encoder of one of the two settings if it has; all
-- three are null where none has.
--   $setting: integer = ; compare this setting with all others; every pair of settings where not given
with labelled as (
    select
        *,
        -- without the category that tells it from another concept of its name
        case
            when ends_with(concept, ' (' || category || ')') then left(concept, len(concept) - len(category) - 3)
            else regexp_replace(concept, ' \((color|texture|material|part|object|scene)\)$', '')
        end as word
    from unit_labels
    where concept is not null
),

paired as (
    select
        a.setting as setting_a,
        b.setting as setting_b,
        a.model,
        a.layer,
        a.position,
        a.unit,
        a.method as method_a,
        b.method as method_b,
        a.encoder as encoder_a,
        b.encoder as encoder_b,
        a.concept_set as concept_set_a,
        b.concept_set as concept_set_b,
        a.probe as probe_a,
        b.probe as probe_b,
        a.concept as concept_a,
        b.concept as concept_b,
        a.word as word_a,
        b.word as word_b,
        a.category as category_a,
        b.category as category_b
    from labelled as a
    inner join labelled as b using (model, layer, unit)
    where
        a.setting < b.setting
        and ($setting::integer is null or $setting::integer in (a.setting, b.setting))
),

counts_a as (
    select
        setting_a,
        setting_b,
        model,
        layer,
        concept_a,
        word_a as word,
        category_a,
        count(*) as units
    from paired
    group by all
),

counts_b as (
    select
        setting_a,
        setting_b,
        model,
        layer,
        concept_b,
        word_b as word,
        category_b,
        count(*) as units
    from paired
    group by all
),

chance as (
    select
        counts_a.setting_a,
        counts_a.setting_b,
        counts_a.model,
        counts_a.layer,
        sum(counts_a.units * counts_b.units) as pairs
    from counts_a
    inner join counts_b using (setting_a, setting_b, model, layer, word)
    where
        counts_a.concept_a = counts_b.concept_b
        or counts_a.category_a = counts_b.category_b
        or 'none' in (counts_a.category_a, counts_b.category_b)
    group by all
),

concept_pairs as (
    select distinct
        concept_a,
        concept_b
    from paired
),

embeddings as (
    select
        concepts.concept,
        concept_embeddings.encoder_id,
        concept_embeddings.embedding
    from store.concept_embeddings
    inner join store.concepts using (concept_id)
    where concept_embeddings.prompts = ['{}']
),

spellings as (
    select
        concept_a as concept,
        concept_a as spelling
    from paired
    union
    select
        concept_a as concept,
        word_a as spelling
    from paired
    union
    select
        concept_b as concept,
        concept_b as spelling
    from paired
    union
    select
        concept_b as concept,
        word_b as spelling
    from paired
),

vectors as materialized (
    select
        spellings.concept,
        embeddings.encoder_id,
        max_by(embeddings.embedding, spellings.spelling = spellings.concept) as embedding
    from spellings
    inner join embeddings on spellings.spelling = embeddings.concept
    group by spellings.concept, embeddings.encoder_id
),

-- materialized: joined to each other first, all concepts with all would be made
first_vectors as materialized (
    select
        concept_pairs.concept_a,
        concept_pairs.concept_b,
        vectors.encoder_id,
        vectors.embedding
    from concept_pairs
    inner join vectors on concept_pairs.concept_a = vectors.concept
),

cosines as (
    select
        first_vectors.concept_a,
        first_vectors.concept_b,
        first_vectors.encoder_id,
        list_inner_product(first_vectors.embedding, vectors.embedding) as cosine
    from first_vectors
    inner join vectors
        on first_vectors.concept_b = vectors.concept and first_vectors.encoder_id = vectors.encoder_id
),

by_encoder as (
    select
        paired.setting_a,
        paired.setting_b,
        paired.model,
        paired.layer,
        cosines.encoder_id,
        count(*) as units,
        avg(cosines.cosine) as mean_cosine
    from paired
    inner join cosines using (concept_a, concept_b)
    group by all
),

nearness as (
    select
        by_encoder.setting_a,
        by_encoder.setting_b,
        by_encoder.model,
        by_encoder.layer,
        max_by(
            struct_pack(encoder := encoders.name, units := by_encoder.units, mean_cosine := by_encoder.mean_cosine),
            (
                coalesce(by_encoder.encoder_id in (a.encoder_id, b.encoder_id), false),
                by_encoder.units,
                -by_encoder.encoder_id
            )
        ) as best
    from by_encoder
    inner join store.encoders using (encoder_id)
    -- a setting has the number of one of its scorings
    inner join store.scorings as a on by_encoder.setting_a = a.scoring_id
    inner join store.scorings as b on by_encoder.setting_b = b.scoring_id
    group by
        by_encoder.setting_a,
        by_encoder.setting_b,
        by_encoder.model,
        by_encoder.layer
),

agreement as (
    select
        setting_a,
        setting_b,
        model,
        layer,
        position,
        method_a,
        method_b,
        encoder_a,
        encoder_b,
        concept_set_a,
        concept_set_b,
        probe_a,
        probe_b,
        count(*) as units,
        count(*) filter (
            word_a = word_b
            and (
                concept_a = concept_b
                or category_a = category_b
                or 'none' in (category_a, category_b)
            )
        ) as same
    from paired
    group by all
)

select
    agreement.setting_a,
    agreement.setting_b,
    agreement.model,
    agreement.layer,
    agreement.units,
    agreement.same,
    agreement.same / agreement.units as share,
    (agreement.same / agreement.units - coalesce(chance.pairs, 0) / agreement.units ** 2)
    / nullif(1 - coalesce(chance.pairs, 0) / agreement.units ** 2, 0) as kappa,
    nearness.best.mean_cosine,
    agreement.method_a,
    agreement.method_b,
    agreement.encoder_a,
    agreement.encoder_b,
    agreement.concept_set_a,
    agreement.concept_set_b,
    agreement.probe_a,
    agreement.probe_b,
    nearness.best.units as cosine_units,
    nearness.best.encoder as cosine_encoder
from agreement
left join chance using (setting_a, setting_b, model, layer)
left join nearness using (setting_a, setting_b, model, layer)
order by agreement.setting_a asc, agreement.setting_b asc, agreement.model asc, agreement.position asc
