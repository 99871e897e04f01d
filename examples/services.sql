-- Receivers that want bodies of their own: Slack, Discord, Microsoft Teams and PagerDuty,
-- each told of an order without a function.  Put your own URLs and keys in.
--
-- They refuse a message in which one text is missing, blank, longer than they take or no string, or a
-- list is too long.  So the first ten of a list are taken, conditions let pass what is a text of
-- a length that they take, and a second mapping of the same place is there for what did not.  A
-- list that must not be empty has its first element mapped once more.  A path goes through lists on its own, so that
-- one text may become several: .type() asks for what is no list, of an element in the same way for all that is taken
-- of it, so that what belongs together stays together.
-- .string() makes a text of a price.  What an event says is plain text where markup could mention people.

-- Slack: an incoming webhook, with blocks
INSERT INTO rswebhook.destination (name, url, events, body_mapping) VALUES
    ('slack', 'https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX', '{Order Placed}', '[
        {"to": "$.text", "from": "An order was placed"},
        {"to": "$.blocks[0].type", "from": "header"},
        {"to": "$.blocks[0].text.type", "from": "plain_text"},
        {"to": "$.blocks[0].text.text", "from": "$ ? (@.properties.type() == \"object\" && @.properties.title.type() == \"string\").properties.title ? (@ like_regex \"^.{0,70}[^[:space:]].{0,70}$\" flag \"s\")"},
        {"to": "$.blocks[0].text.text", "from": "An order was placed"},
        {"to": "$.blocks[1].type", "from": "section"},
        {"to": "$.blocks[1].fields[*].type", "from": "plain_text"},
        {"to": "$.blocks[1].fields[*].text", "from": "$ ? (@.properties.type() == \"object\" && !(@.properties.items[0 to 9].type() == \"array\")).properties.items[0 to 9][*] ? (!(@.name.type() == \"array\") && !(@.price.type() == \"array\")).name ? (@ like_regex \"^.{0,99}[^[:space:]].{0,99}$\" flag \"s\")"},
        {"to": "$.blocks[1].fields[*].text", "from": "-"},
        {"to": "$.blocks[1].fields[0].text", "from": "-"}]');

-- Discord: a webhook of a channel, with an embed
INSERT INTO rswebhook.destination (name, url, events, body_mapping) VALUES
    ('discord', 'https://discord.com/api/webhooks/000000000000000000/XXXXXXXX', '{Order Placed}', '[
        {"to": "username", "from": "Shop"},
        {"to": "content", "from": "An order was placed"},
        {"to": "$.embeds[0].title", "from": "$ ? (@.properties.type() == \"object\" && @.properties.title.type() == \"string\").properties.title ? (@ like_regex \"^.{0,99}[^[:space:]].{0,99}$\" flag \"s\")"},
        {"to": "$.embeds[0].title", "from": "An order"},
        {"to": "$.embeds[0].timestamp", "from": "$ ? (@.timestamp.type() == \"string\").timestamp ? (@ like_regex \"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z$\")"},
        {"to": "$.embeds[0].fields[*].name", "from": "$ ? (@.properties.type() == \"object\" && !(@.properties.items[0 to 9].type() == \"array\")).properties.items[0 to 9][*] ? (!(@.name.type() == \"array\") && !(@.price.type() == \"array\")).name ? (@ like_regex \"^.{0,99}[^[:space:]].{0,99}$\" flag \"s\")"},
        {"to": "$.embeds[0].fields[*].name", "from": "-"},
        {"to": "$.embeds[0].fields[*].value", "from": "$ ? (@.properties.type() == \"object\" && !(@.properties.items[0 to 9].type() == \"array\")).properties.items[0 to 9][*] ? (!(@.name.type() == \"array\") && !(@.price.type() == \"array\")).price ? (@.type() == \"number\" || @ like_regex \"^.{0,24}[^[:space:]].{0,24}$\" flag \"s\").string()"},
        {"to": "$.embeds[0].fields[*].value", "from": "-"}]');

-- Microsoft Teams: a workflow that takes webhooks, with an Adaptive Card
INSERT INTO rswebhook.destination (name, url, events, body_mapping) VALUES
    ('teams', 'https://prod-00.westeurope.logic.azure.com/workflows/XXXXXXXX/triggers/manual/paths/invoke', '{Order Placed}', '[
        {"to": "type", "from": "message"},
        {"to": "$.attachments[0].contentType", "from": "application/vnd.microsoft.card.adaptive"},
        {"to": "$.attachments[0].content[''$schema'']", "from": "http://adaptivecards.io/schemas/adaptive-card.json"},
        {"to": "$.attachments[0].content.type", "from": "AdaptiveCard"},
        {"to": "$.attachments[0].content.version", "from": "1.4"},
        {"to": "$.attachments[0].content.body[0].type", "from": "TextBlock"},
        {"to": "$.attachments[0].content.body[0].text", "from": "$ ? (@.properties.type() == \"object\" && @.properties.title.type() == \"string\").properties.title ? (@ like_regex \"^.{0,99}[^[:space:]].{0,99}$\" flag \"s\")"},
        {"to": "$.attachments[0].content.body[0].text", "from": "An order was placed"},
        {"to": "$.attachments[0].content.body[1].type", "from": "FactSet"},
        {"to": "$.attachments[0].content.body[1].facts[*].title", "from": "$ ? (@.properties.type() == \"object\" && !(@.properties.items[0 to 9].type() == \"array\")).properties.items[0 to 9][*] ? (!(@.name.type() == \"array\") && !(@.price.type() == \"array\")).name ? (@ like_regex \"^.{0,99}[^[:space:]].{0,99}$\" flag \"s\")"},
        {"to": "$.attachments[0].content.body[1].facts[*].title", "from": "-"},
        {"to": "$.attachments[0].content.body[1].facts[*].value", "from": "$ ? (@.properties.type() == \"object\" && !(@.properties.items[0 to 9].type() == \"array\")).properties.items[0 to 9][*] ? (!(@.name.type() == \"array\") && !(@.price.type() == \"array\")).price ? (@.type() == \"number\" || @ like_regex \"^.{0,24}[^[:space:]].{0,24}$\" flag \"s\").string()"},
        {"to": "$.attachments[0].content.body[1].facts[*].value", "from": "-"},
        {"to": "$.attachments[0].content.body[1].facts[0].title", "from": "-"},
        {"to": "$.attachments[0].content.body[1].facts[0].value", "from": "-"}]');

-- PagerDuty: an alert of its Events API, for each of our own events by this name
INSERT INTO rswebhook.destination (name, url, events, body_mapping) VALUES
    ('pagerduty', 'https://events.pagerduty.com/v2/enqueue', '{Check Failed}', '[
        {"to": "routing_key", "from": "0123456789abcdef0123456789abcdef"},
        {"to": "event_action", "from": "trigger"},
        {"to": "dedup_key", "from": "$ ? (@.properties.type() == \"object\" && @.properties.check.type() == \"string\").properties.check ? (@ like_regex \"^.{1,250}$\" flag \"s\")"},
        {"to": "payload.summary", "from": "$ ? (@.properties.type() == \"object\" && @.properties.summary.type() == \"string\").properties.summary ? (@ like_regex \"^.{0,250}[^[:space:]].{0,250}$\" flag \"s\")"},
        {"to": "payload.summary", "from": "A check has failed"},
        {"to": "payload.source", "from": "$ ? (@.properties.type() == \"object\" && @.properties.host.type() == \"string\").properties.host ? (@ like_regex \"^.{0,99}[^[:space:]].{0,99}$\" flag \"s\")"},
        {"to": "payload.source", "from": "unknown"},
        {"to": "payload.severity", "from": "$ ? (@.properties.type() == \"object\" && @.properties.severity.type() == \"string\").properties.severity ? (@ == \"critical\" || @ == \"error\" || @ == \"warning\" || @ == \"info\")"},
        {"to": "payload.severity", "from": "error"},
        {"to": "payload.custom_details.free", "from": "$.properties.free ? (@.type() == \"number\")"}]');
