-- How well does each unit's label predict it on images that did not choose it, and what does the encoder see of it?
-- Of a model with more judged units than asked for, as many of each layer as there are; which ones is decided by their
-- numbers, and so always the same.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 1200; how many units of each model
with judged as (
    select
        model,
        layer,
        position,
        unit,
        concept,
        held_out_correlation,
        ceiling,
        confidence,
        holds,
        count(*) over (partition by model) as judged,
        -- a hash mixes what stands together in the order of the units, such as the breeds of dogs among classes
        row_number() over (partition by scoring order by md5(unit::varchar), unit) as turn
    from unit_labels
    where
        setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
        and held_out_correlation is not null
        and ceiling is not null
)

select
    model,
    layer,
    position,
    unit,
    concept,
    held_out_correlation,
    ceiling,
    confidence,
    holds,
    judged
from judged
qualify row_number() over (partition by model order by turn, position) <= $top::integer
order by model asc, position asc, unit asc
