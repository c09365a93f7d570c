-- Which units stand for several things at once?
-- A label marks its unit so where two concepts that it goes up with, and whose signals are unlike, each carry a
-- third or more of what it explains. How much that is at all, held_out_correlation says: those that are predicted
-- best come first in a layer, and of those at its end a label may say nothing.
--   $model: varchar = ; only of this model
--   $layer: varchar = ; only this layer
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
with carrying as (
    select
        scoring,
        unit,
        -- many names have commas in them
        string_agg(concept, '; ' order by share desc, position asc) as concepts,
        list(share order by share desc, position asc) as shares
    from unit_terms
    where share >= 1 / 3 and weight > 0
    group by scoring, unit
)

select
    unit_labels.model,
    unit_labels.layer,
    unit_labels.unit,
    unit_labels.held_out_correlation,
    carrying.concepts,
    carrying.shares,
    unit_labels.explanation,
    unit_labels.monosemanticity,
    unit_labels.confidence,
    unit_labels.holds
from unit_labels
inner join carrying using (scoring, unit)
where
    unit_labels.is_polysemantic
    and unit_labels.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and ($model::varchar is null or unit_labels.model = $model::varchar)
    and ($layer::varchar is null or unit_labels.layer = $layer::varchar)
order by
    unit_labels.model asc, unit_labels.position asc, unit_labels.held_out_correlation desc, unit_labels.unit asc
