-- How does what a model learned change with depth: distinct concepts, how far to believe them, and categories (own: not
-- Broden's)?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
with categories as (
    select
        scoring,
        coalesce(sum(share) filter (category = 'color'), 0) as color,
        coalesce(sum(share) filter (category = 'texture'), 0) as texture,
        coalesce(sum(share) filter (category = 'material'), 0) as material,
        coalesce(sum(share) filter (category = 'part'), 0) as part,
        coalesce(sum(share) filter (category = 'object'), 0) as object,
        coalesce(sum(share) filter (category = 'scene'), 0) as scene,
        coalesce(
            sum(share) filter (
                category not in ('color', 'texture', 'material', 'part', 'object', 'scene', 'none')
            ),
            0
        ) as own,
        coalesce(sum(share) filter (category = 'none'), 0) as none
    from category_by_layer
    group by scoring
)

select
    layer_summary.model,
    layer_summary.layer,
    layer_summary.position,
    layer_summary.scoring,
    layer_summary.units,
    layer_summary.labelled,
    layer_summary.dead,
    layer_summary.significant,
    layer_summary.significant / nullif(layer_summary.labelled, 0) as significant_share,
    layer_summary.held,
    layer_summary.held / nullif(layer_summary.labelled, 0) as held_share,
    layer_summary.mean_held_out_correlation,
    layer_summary.mean_ceiling,
    layer_summary.mean_confidence,
    layer_summary.concepts,
    layer_summary.top_concept,
    layer_summary.top_units,
    layer_summary.mean_similarity,
    categories.* exclude (scoring)
from layer_summary
left join categories using (scoring)
where layer_summary.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
order by layer_summary.model asc, layer_summary.position asc
