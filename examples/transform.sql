-- What would be sent? Ask for a destination, for a bare method, or for a
-- configuration of RudderStack's that is not stored anywhere.

SELECT rswebhook_transform(
    '{"type": "track", "userId": "ann", "event": "Order Placed",
      "properties": {"price": 60, "tags": ["boots", "new"]}}',
    'shop');

SELECT rswebhook_transform(
    '{"type": "track", "userId": "ann", "event": "Order Placed",
      "properties": {"price": 60, "tags": ["boots", "new"]}}',
    'GET') -> 'params' AS params;

SELECT rswebhook_transform(
    '{"type": "identify", "userId": "ann", "traits": {"plan": "Enterprise"}}',
    '{"webhookUrl": "https://example.com/users", "webhookMethod": "DELETE",
      "headers": [{"from": "X-Team", "to": "growth"}]}'::jsonb);
