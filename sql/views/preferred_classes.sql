-- One row per live unit and label of images: how far the unit prefers the images of that class to all others.
-- Labels that only one image has, or all images have, are left out. Filter by model and layer: all is computed when
-- asked. The query classes_by_path does the same for classes that only the images' paths tell.
--   label: the images' own, such as the name of their folder
--   images: images with this label
--   mean_activation: of these images
--   others_mean: mean activation of all other images, labelled or not
--   auc: the chance that an image with this label activates the unit more than another one, a tie counting one half:
--     the area under the ROC curve
--   selectivity: (mean_activation - others_mean) / (|mean_activation| + |others_mean|), from -1 to 1; where activations
--     are not negative, the class selectivity index of Morcos et al., On the importance of single directions for
--     generalization (ICLR 2018)
--   rank: place among the unit's classes by auc, from 1; classes of equal auc by selectivity, then alphabetically
with sums as (
    select
        model,
        layer,
        probe,
        unit,
        label,
        count(*) as images,
        sum(activation) as activations,
        sum(activation_rank) as ranks
    from activation_ranks
    group by
        model,
        layer,
        probe,
        unit,
        label
),

with_others as (
    select
        *,
        sum(images) over of_unit - images as others,
        activations / images as mean_activation,
        (sum(activations) over of_unit - activations) / nullif(others, 0) as others_mean
    from sums
    window of_unit as (partition by model, layer, probe, unit)
),

measured as (
    select
        *,
        -- Mann & Whitney's U, as a share of all pairs
        (ranks - images * (images + 1) / 2) / (images * others) as auc,
        (mean_activation - others_mean)
        / nullif(abs(mean_activation) + abs(others_mean), 0) as selectivity
    from with_others
    where label is not null and images > 1 and others > 0
)

select
    model,
    layer,
    unit,
    probe,
    label,
    images,
    mean_activation,
    others_mean,
    auc,
    selectivity,
    row_number() over (
        partition by model, layer, probe, unit
        order by auc desc, selectivity desc, label asc
    ) as rank
from measured
