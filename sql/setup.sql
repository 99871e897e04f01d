-- Without the library in shared_preload_libraries, which these tests do not
-- need, CREATE EXTENSION warns that nothing will be delivered.
SET client_min_messages = error;
CREATE EXTENSION rswebhook;
