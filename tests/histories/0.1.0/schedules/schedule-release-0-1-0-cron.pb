
defaultschedule-release-0-1-0-cronÜ
É2:&
"*::,
"*:J2
;;"*2ÎÎ:J2
;;"*2ÍÍ:J0
;;""*:REurope/Berlin™
ß
release-0-1-0/cron
RunDefinition
almanac-release-0-1-0"Ñ
Å

encoding
json/plainÊ{"definition":{"do":[{"ask":{"call":"http","with":{"endpoint":"https://example.com/","method":"get"}}},{"rest":{"wait":{"seconds":5}}}],"id":"cron","revision":"33a1eb72c245dd79"},"input":{"mode":"nightly","price":1.5,"text":"√º"}}Z›
⁄
almanacŒ

encoding
json/plain≥{"base":{"action":"fc266715","catchup_window":"4b466534","definition":"d9560332","exclude":"b9a2cf00","input":"1883e1cb","jitter":"a47a1b0d","overlap_policy":"961ae923","pause_on_failure":"b5bea41b","times":"9680f5e0","timezone":"e28a0cd7"},"revision":"33a1eb72c245dd79","source":"definitions.yaml:2","v":1}	†8"F
DManaged by Almanac from definitions.yaml:2 [almanac v1:c77cc25e522d]2schedule-release-0-1-0-cron:V
T
almanacI

encoding
json/plain/{"definition":"cron","project":"release-0-1-0"}