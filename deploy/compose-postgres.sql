-- Run once by compose.yaml's PostgreSQL, when its volume is empty. The workers' role is not a
-- superuser; only a superuser may create pgvector, which new databases get from the template.
\getenv password POSTGRES_PASSWORD
CREATE ROLE chat LOGIN CREATEDB PASSWORD :'password';
\connect template1
CREATE EXTENSION vector;
CREATE DATABASE chat OWNER chat;
-- Without a password the superuser cannot connect from other containers.
ALTER ROLE postgres PASSWORD NULL;
