-- Runs once, as superuser, when the server's volume is empty: a database and an owner for each service and the registry.
-- Nobody sees another's: what a service does not own it can't even connect to.
\set ON_ERROR_STOP on

\getenv notification_password NOTIFICATION_DB_PASSWORD
\getenv payout_password PAYOUT_DB_PASSWORD
\getenv portal_password PORTAL_DB_PASSWORD
\getenv registry_password REGISTRY_DB_PASSWORD

CREATE ROLE notification LOGIN PASSWORD :'notification_password';
CREATE ROLE payout LOGIN PASSWORD :'payout_password';
CREATE ROLE portal LOGIN PASSWORD :'portal_password';
CREATE ROLE registry LOGIN PASSWORD :'registry_password';

CREATE DATABASE notification OWNER notification;
CREATE DATABASE payout OWNER payout;
CREATE DATABASE portal OWNER portal;
CREATE DATABASE registry OWNER registry;

REVOKE CONNECT ON DATABASE notification, payout, portal, registry FROM PUBLIC;
