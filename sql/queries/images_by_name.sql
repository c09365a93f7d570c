-- Which images of a probe have a text in their path or label? Upper and lower case are alike.
-- One whose path is the text comes first.
--   $text: text = ; the text; all images where not given
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 40; how many images
with chosen as (
    select distinct keys.probe_id
    from scorings
    inner join store.scorings as keys on scorings.scoring = keys.scoring_id
    where scorings.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
)

select
    images.image_id,
    images.path as image,
    images.label
from store.images
inner join chosen using (probe_id)
anti join store.failed_images using (image_id)
where contains(lower(images.path || ' ' || coalesce(images.label, '')), lower(coalesce($text::varchar, '')))
order by coalesce(images.path <> $text::varchar, true) asc, images.image_id asc
limit $top::integer
