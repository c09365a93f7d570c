-- What does the label of one unit predict of each image, and what does the unit do there?
-- One row per image that chose or judged the label, those first on which the two differ most. The outcome is a hit
-- for an image among the 5 % that the label predicts highest and the 5 % that the unit has highest, a false alarm
-- among the first alone, a miss among the second alone; outcome_rank counts these two from the worst. A sum predicts
-- its intercept and weighted signals. Other labels have no scale of their own: their signal, such as the cosine of
-- the concept, or of labels by masks the share of the image that shows it, is put on the activations' least-squares
-- line, upwards even where the label is wrong. No rows where nothing is predicted: the unit has no label or is dead, or
-- images or concepts no embeddings.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
with asked as (
    select
        keys.scoring_id,
        keys.layer_id,
        labels.unit,
        case when keys.images > 0 then keys.probe_id else judgements.probe_id end as probe_id,
        case when keys.images > 0 then keys.encoder_id else judgements.encoder_id end as encoder_id,
        case when keys.images > 0 then keys.prompts else ['{}'] end as prompts,
        case
            when
                keys.labeler = 'network_dissection' and exists (
                    select 1
                    from store.regions
                    where regions.model_id = layers.model_id and regions.concept_set_id = keys.concept_set_id
                )
                then 'areas'
            when keys.images > 0 and keys.encoder_id is null then 'labels'
            else keys.parameters ->> 'signal'
        end as shape,
        layers.model_id,
        keys.concept_set_id,
        case when keys.parameters ->> 'signal' is not null then labels.intercept end as intercept
    from scorings
    inner join store.scorings as keys on scorings.scoring = keys.scoring_id
    inner join store.labels on keys.scoring_id = labels.scoring_id
    inner join store.layers on keys.layer_id = layers.layer_id
    left join store.judgements on keys.scoring_id = judgements.scoring_id
    where
        scorings.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
        and scorings.model = $model
        and scorings.layer = $layer
        and labels.unit = $unit::integer
),

shown as (
    select
        asked.*,
        images.image_id,
        activations.activation
    from asked
    inner join store.units using (layer_id, probe_id, unit)
    inner join store.images using (probe_id)
    inner join store.activations
        on
            asked.layer_id = activations.layer_id
            and asked.unit = activations.unit
            and images.image_id = activations.image_id
    where units.status = 'live'
),

terms as (
    select
        label_terms.position,
        label_terms.weight,
        label_terms.operator,
        label_terms.concept_id,
        concepts.concept,
        concept_embeddings.embedding
    from asked
    inner join store.label_terms using (scoring_id, unit)
    inner join store.concepts using (concept_id)
    left join store.concept_embeddings
        on
            asked.encoder_id = concept_embeddings.encoder_id
            and asked.prompts = concept_embeddings.prompts
            and label_terms.concept_id = concept_embeddings.concept_id
    -- what is not known of one is not known of the sum
    qualify bool_and(asked.shape in ('labels', 'areas') or concept_embeddings.embedding is not null) over ()
),

cosines as (
    select
        shown.image_id,
        shown.shape,
        terms.position,
        terms.weight,
        list_inner_product(image_embeddings.embedding, terms.embedding)::double as cosine
    from shown
    inner join store.image_embeddings using (encoder_id, image_id)
    cross join terms
    where coalesce(shown.shape, '') not in ('labels', 'areas')
),

-- in deviations from their mean; what hardly varies is the same for all images
scaled as (
    select
        *,
        case
            when stddev_pop(cosine) over of_term > 1e-5
                then (cosine - avg(cosine) over of_term) / stddev_pop(cosine) over of_term
            else 0
        end as z
    from cosines
    window of_term as (partition by position)
),

shaped as (
    select
        image_id,
        shape,
        position,
        weight,
        case shape
            when 'cosine' then z
            when 'cubed' then z * z * z
            when 'squared' then greatest(z, 0) * greatest(z, 0)
            when 'sigmoid_clip' then 1 / (1 + exp(-58 * (cosine - 0.25)))
            when 'sigmoid_siglip' then 1 / (1 + exp(-60 * (cosine - 0.09)))
            when 'sigmoid_so400m' then 1 / (1 + exp(-58 * (cosine - 0.13)))
            else cosine
        end as signal
    from scaled
),

-- a region is of a formula or not by the last of its concepts that settles it
settled as (
    select
        shown.image_id,
        regions.region,
        regions.pixels,
        terms.position,
        case
            when terms.position = 0 then list_contains(regions.concept_ids, terms.concept_id)
            when terms.operator = 'or' and list_contains(regions.concept_ids, terms.concept_id) then true
            when terms.operator = 'and' and not list_contains(regions.concept_ids, terms.concept_id) then false
            when terms.operator = 'and not' and list_contains(regions.concept_ids, terms.concept_id) then false
        end as holds
    from shown
    inner join store.regions using (model_id, concept_set_id, image_id)
    cross join terms
    where shown.shape = 'areas'
),

holding as (
    select
        image_id,
        any_value(pixels) as pixels,
        max_by(holds, position) as holds
    from settled
    where holds is not null
    group by image_id, region
),

-- the share of what the network sees of an image where the label holds
areas as (
    select
        image_id,
        sum(case when holds then pixels else 0 end) / sum(pixels) as share
    from holding
    group by image_id
),

scaled_again as (
    select
        image_id,
        weight,
        case
            when coalesce(shape, '') not in ('cosine', 'cubed', 'squared') then signal
            when stddev_pop(signal) over of_term > 1e-5
                then (signal - avg(signal) over of_term) / stddev_pop(signal) over of_term
            else 0
        end as signal
    from shaped
    window of_term as (partition by position)
    union all by name
    select
        shown.image_id,
        terms.weight,
        coalesce((images.label = terms.concept)::integer, 0) as signal
    from shown
    inner join store.images using (image_id)
    cross join terms
    where shown.shape = 'labels'
    union all by name
    select
        image_id,
        1 as weight,
        share as signal
    from areas
),

sums as (
    select
        image_id,
        sum(weight::double * coalesce(signal, 0)) as signal
    from scaled_again
    group by image_id
),

lines as (
    select
        avg(shown.activation) as mean_activation,
        avg(sums.signal) as mean_signal,
        case
            when stddev_pop(sums.signal) > 1e-6 * max(abs(sums.signal))
                then abs(regr_slope(shown.activation, sums.signal))
            else 0
        end as slope
    from shown
    inner join sums using (image_id)
),

predictions as (
    select
        shown.image_id,
        shown.activation,
        coalesce(
            shown.intercept + sums.signal,
            lines.mean_activation + lines.slope * (sums.signal - lines.mean_signal)
        ) as predicted
    from shown
    inner join sums using (image_id)
    cross join lines
),

places as (
    select
        *,
        rank() over (order by activation desc) as unit_rank,
        count(*) over (partition by activation) as unit_ties,
        rank() over (order by predicted desc) as label_rank,
        count(*) over (partition by predicted) as label_ties,
        count(*) over () as images,
        greatest(1, round_even(0.05 * count(*) over (), 0)) as top
    from predictions
),

-- with ties, but for what is lowest or would put more than half there, as f1 in the view fidelity has them
tops as (
    select
        *,
        unit_rank <= top
        and unit_rank + unit_ties <= images
        and not (unit_rank + unit_ties > top and 2 * (unit_rank + unit_ties - 1) > images) as is_unit_top,
        label_rank <= top
        and label_rank + label_ties <= images
        and not (label_rank + label_ties > top and 2 * (label_rank + label_ties - 1) > images) as is_label_top
    from places
),

outcomes as (
    select
        *,
        case
            when is_unit_top and is_label_top then 'hit'
            when is_label_top then 'false alarm'
            when is_unit_top then 'miss'
        end as outcome
    from tops
)

select
    images.path as image,
    images.label,
    outcomes.activation,
    outcomes.predicted::float as predicted,
    (outcomes.activation - outcomes.predicted)::float as difference,
    outcomes.outcome,
    case
        when outcomes.outcome in ('false alarm', 'miss')
            then
                row_number() over (
                    partition by outcomes.outcome
                    order by
                        case outcomes.outcome when 'miss' then -1 else 1 end
                        * (outcomes.activation - outcomes.predicted) asc,
                        outcomes.image_id asc
                )
    end as outcome_rank,
    outcomes.image_id
from outcomes
inner join store.images using (image_id)
order by abs(outcomes.activation - outcomes.predicted) desc, outcomes.image_id asc
