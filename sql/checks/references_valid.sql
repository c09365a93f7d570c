-- Every number that stands for a row of another table has that row.
with numbers as (
    select distinct
        'images.probe_id' as reference,
        'probes' as target,
        probe_id as number
    from store.images
    union all
    select distinct
        'evaluations.scoring_id' as reference,
        'scorings' as target,
        scoring_id as number
    from store.evaluations
    union all
    select distinct
        'judgements.scoring_id' as reference,
        'scorings' as target,
        scoring_id as number
    from store.judgements
    union all
    select distinct
        'judgements.probe_id' as reference,
        'probes' as target,
        probe_id as number
    from store.judgements
    where probe_id is not null
    union all
    select distinct
        'judgements.encoder_id' as reference,
        'encoders' as target,
        encoder_id as number
    from store.judgements
    where encoder_id is not null
    union all
    select distinct
        'fidelities.scoring_id' as reference,
        'scorings' as target,
        scoring_id as number
    from store.fidelities
    union all
    select distinct
        'thumbnails.image_id' as reference,
        'images' as target,
        image_id as number
    from store.thumbnails
    union all
    select distinct
        'failed_images.image_id' as reference,
        'images' as target,
        image_id as number
    from store.failed_images
    union all
    select distinct
        'concept_set_concepts.concept_set_id' as reference,
        'concept_sets' as target,
        concept_set_id as number
    from store.concept_set_concepts
    union all
    select distinct
        'concept_set_concepts.concept_id' as reference,
        'concepts' as target,
        concept_id as number
    from store.concept_set_concepts
    union all
    select distinct
        'concept_embeddings.concept_id' as reference,
        'concepts' as target,
        concept_id as number
    from store.concept_embeddings
    union all
    select distinct
        'concept_embeddings.encoder_id' as reference,
        'encoders' as target,
        encoder_id as number
    from store.concept_embeddings
    union all
    select distinct
        'chunks.layer_id' as reference,
        'layers' as target,
        layer_id as number
    from store.chunks
    union all
    select distinct
        'chunks.encoder_id' as reference,
        'encoders' as target,
        encoder_id as number
    from store.chunks
    union all
    select distinct
        'chunks.run_id' as reference,
        'runs' as target,
        run_id as number
    from store.chunks
    union all
    select distinct
        'units.layer_id' as reference,
        'layers' as target,
        layer_id as number
    from store.units
    union all
    select distinct
        'top_images.image_id' as reference,
        'images' as target,
        image_id as number
    from store.top_images
    union all
    select distinct
        'scorings.run_id' as reference,
        'runs' as target,
        run_id as number
    from store.scorings
    union all
    select distinct
        'labels.scoring_id' as reference,
        'scorings' as target,
        scoring_id as number
    from store.labels
    union all
    select distinct
        'label_terms.concept_id' as reference,
        'concepts' as target,
        concept_id as number
    from store.label_terms
    union all
    select distinct
        'labels.runner_up_id' as reference,
        'concepts' as target,
        runner_up_id as number
    from store.labels
    union all
    select distinct
        'similarities.scoring_id' as reference,
        'scorings' as target,
        scoring_id as number
    from store.similarities
    union all
    select distinct
        'similarities.concept_id' as reference,
        'concepts' as target,
        concept_id as number
    from store.similarities
    union all
    select distinct
        'layers.model_id' as reference,
        'models' as target,
        model_id as number
    from store.layers
    union all
    select distinct
        'chunks.probe_id' as reference,
        'probes' as target,
        probe_id as number
    from store.chunks
    union all
    select distinct
        'units.probe_id' as reference,
        'probes' as target,
        probe_id as number
    from store.units
    union all
    select distinct
        'top_images.layer_id' as reference,
        'layers' as target,
        layer_id as number
    from store.top_images
    union all
    select distinct
        'scorings.layer_id' as reference,
        'layers' as target,
        layer_id as number
    from store.scorings
    union all
    select distinct
        'scorings.probe_id' as reference,
        'probes' as target,
        probe_id as number
    from store.scorings
    union all
    select distinct
        'scorings.encoder_id' as reference,
        'encoders' as target,
        encoder_id as number
    from store.scorings
    union all
    select distinct
        'scorings.concept_set_id' as reference,
        'concept_sets' as target,
        concept_set_id as number
    from store.scorings
    union all
    select distinct
        'label_terms.scoring_id' as reference,
        'scorings' as target,
        scoring_id as number
    from store.label_terms
    union all
    select distinct
        'intersections.scoring_id' as reference,
        'scorings' as target,
        scoring_id as number
    from store.intersections
    union all
    select distinct
        'intersections.concept_id' as reference,
        'concepts' as target,
        concept_id as number
    from store.intersections
    union all
    select distinct
        'dissections.layer_id' as reference,
        'layers' as target,
        layer_id as number
    from store.dissections
    union all
    select distinct
        'dissections.probe_id' as reference,
        'probes' as target,
        probe_id as number
    from store.dissections
    union all
    select distinct
        'dissections.concept_set_id' as reference,
        'concept_sets' as target,
        concept_set_id as number
    from store.dissections
    union all
    select distinct
        'dissected_chunks.dissection_id' as reference,
        'dissections' as target,
        dissection_id as number
    from store.dissected_chunks
    union all
    select distinct
        'dissected_chunks.run_id' as reference,
        'runs' as target,
        run_id as number
    from store.dissected_chunks
    union all
    select distinct
        'tails.dissection_id' as reference,
        'dissections' as target,
        dissection_id as number
    from store.tails
    union all
    select distinct
        'thresholds.dissection_id' as reference,
        'dissections' as target,
        dissection_id as number
    from store.thresholds
    union all
    select distinct
        'active_regions.dissection_id' as reference,
        'dissections' as target,
        dissection_id as number
    from store.active_regions
    union all
    select distinct
        'active_regions.image_id' as reference,
        'images' as target,
        image_id as number
    from store.active_regions
    union all
    select distinct
        'outlines.dissection_id' as reference,
        'dissections' as target,
        dissection_id as number
    from store.outlines
    union all
    select distinct
        'outlines.image_id' as reference,
        'images' as target,
        image_id as number
    from store.outlines
    union all
    select distinct
        'regions.model_id' as reference,
        'models' as target,
        model_id as number
    from store.regions
    union all
    select distinct
        'regions.concept_set_id' as reference,
        'concept_sets' as target,
        concept_set_id as number
    from store.regions
    union all
    select distinct
        'regions.image_id' as reference,
        'images' as target,
        image_id as number
    from store.regions
    union all
    select distinct
        'region_chunks.model_id' as reference,
        'models' as target,
        model_id as number
    from store.region_chunks
    union all
    select distinct
        'region_chunks.concept_set_id' as reference,
        'concept_sets' as target,
        concept_set_id as number
    from store.region_chunks
    union all
    select distinct
        'region_chunks.probe_id' as reference,
        'probes' as target,
        probe_id as number
    from store.region_chunks
    union all
    select distinct
        'regions.concept_ids' as reference,
        'concepts' as target,
        unnest(concept_ids) as number
    from store.regions
    union all
    select distinct
        'comparisons.run_id' as reference,
        'runs' as target,
        run_id as number
    from store.comparisons
    union all
    select distinct
        'comparisons.layer_a_id' as reference,
        'layers' as target,
        layer_a_id as number
    from store.comparisons
    union all
    select distinct
        'comparisons.layer_b_id' as reference,
        'layers' as target,
        layer_b_id as number
    from store.comparisons
    union all
    select distinct
        'comparisons.probe_id' as reference,
        'probes' as target,
        probe_id as number
    from store.comparisons
    union all
    select distinct
        'closest_units.comparison_id' as reference,
        'comparisons' as target,
        comparison_id as number
    from store.closest_units
),

targets as (
    select
        'models' as target,
        model_id as number
    from store.models
    union all
    select
        'probes' as target,
        probe_id as number
    from store.probes
    union all
    select
        'images' as target,
        image_id as number
    from store.images
    union all
    select
        'concept_sets' as target,
        concept_set_id as number
    from store.concept_sets
    union all
    select
        'concepts' as target,
        concept_id as number
    from store.concepts
    union all
    select
        'encoders' as target,
        encoder_id as number
    from store.encoders
    union all
    select
        'layers' as target,
        layer_id as number
    from store.layers
    union all
    select
        'runs' as target,
        run_id as number
    from store.runs
    union all
    select
        'dissections' as target,
        dissection_id as number
    from store.dissections
    union all
    select
        'scorings' as target,
        scoring_id as number
    from store.scorings
    union all
    select
        'comparisons' as target,
        comparison_id as number
    from store.comparisons
)

select
    numbers.reference,
    numbers.number
from numbers
anti join targets using (target, number)
where numbers.number is not null
