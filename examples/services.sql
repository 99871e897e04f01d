-- Receivers that want bodies of their own: Slack, Discord, Microsoft Teams and PagerDuty,
-- each told of an order without a function.  Put your own URLs and keys in.
--
-- Their texts are strings: .string() makes one of a price.  Where a list must not be empty,
-- its first element is mapped once more, for an order with nothing in it.

-- Slack: an incoming webhook, with blocks
INSERT INTO rswebhook.destination (name, url, events, body_mapping) VALUES
    ('slack', 'https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX', '{Order Placed}', '[
        {"to": "$.text", "from": "$.event"},
        {"to": "$.blocks[0].type", "from": "header"},
        {"to": "$.blocks[0].text.type", "from": "plain_text"},
        {"to": "$.blocks[0].text.text", "from": "$.event"},
        {"to": "$.blocks[1].type", "from": "section"},
        {"to": "$.blocks[1].fields[*].type", "from": "mrkdwn"},
        {"to": "$.blocks[1].fields[*].text", "from": "$.properties.items[*].name"},
        {"to": "$.blocks[1].fields[0].text", "from": "Nothing in it"}]');

-- Discord: a webhook of a channel, with an embed
INSERT INTO rswebhook.destination (name, url, events, body_mapping) VALUES
    ('discord', 'https://discord.com/api/webhooks/000000000000000000/XXXXXXXX', '{Order Placed}', '[
        {"to": "username", "from": "Shop"},
        {"to": "content", "from": "$.event"},
        {"to": "$.embeds[0].title", "from": "$.properties.title"},
        {"to": "$.embeds[0].timestamp", "from": "$.timestamp"},
        {"to": "$.embeds[0].fields[*].name", "from": "$.properties.items[*].name"},
        {"to": "$.embeds[0].fields[*].value", "from": "$.properties.items[*].price.string()"}]');

-- Microsoft Teams: a workflow that takes webhooks, with an Adaptive Card
INSERT INTO rswebhook.destination (name, url, events, body_mapping) VALUES
    ('teams', 'https://prod-00.westeurope.logic.azure.com/workflows/XXXXXXXX/triggers/manual/paths/invoke', '{Order Placed}', '[
        {"to": "type", "from": "message"},
        {"to": "$.attachments[0].contentType", "from": "application/vnd.microsoft.card.adaptive"},
        {"to": "$.attachments[0].content[''$schema'']", "from": "http://adaptivecards.io/schemas/adaptive-card.json"},
        {"to": "$.attachments[0].content.type", "from": "AdaptiveCard"},
        {"to": "$.attachments[0].content.version", "from": "1.4"},
        {"to": "$.attachments[0].content.body[0].type", "from": "TextBlock"},
        {"to": "$.attachments[0].content.body[0].text", "from": "$.properties.title"},
        {"to": "$.attachments[0].content.body[1].type", "from": "FactSet"},
        {"to": "$.attachments[0].content.body[1].facts[*].title", "from": "$.properties.items[*].name"},
        {"to": "$.attachments[0].content.body[1].facts[*].value", "from": "$.properties.items[*].price.string()"},
        {"to": "$.attachments[0].content.body[1].facts[0].title", "from": "Nothing in it"},
        {"to": "$.attachments[0].content.body[1].facts[0].value", "from": "-"}]');

-- PagerDuty: an alert of its Events API, for each of our own events by this name
INSERT INTO rswebhook.destination (name, url, events, body_mapping) VALUES
    ('pagerduty', 'https://events.pagerduty.com/v2/enqueue', '{Check Failed}', '[
        {"to": "routing_key", "from": "0123456789abcdef0123456789abcdef"},
        {"to": "event_action", "from": "trigger"},
        {"to": "dedup_key", "from": "$.properties.check"},
        {"to": "payload.summary", "from": "$.properties.summary"},
        {"to": "payload.source", "from": "$.properties.host"},
        {"to": "payload.severity", "from": "$.properties.severity"},
        {"to": "payload.severity", "from": "error"},
        {"to": "payload.custom_details", "from": "$.properties"}]');
