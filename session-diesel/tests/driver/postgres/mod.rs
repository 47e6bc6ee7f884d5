//! PostgreSQL.

mod connect_typeorm;
mod connections;
mod doctor;
mod engines;
mod errors;
mod hostile;
mod hosts;
mod life;
mod poolers;
mod principals;
mod rows;
mod schema;
mod secrets;
mod statements;
mod support;

use libtest_mimic::Trial;

use crate::support::on_a_server;

const URL: &str = "SESSION_STORE_POSTGRES_URL";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = on_a_server![
        "postgres", URL;
        connect_typeorm::a_destroyed_session_is_marked_as_node_reads_it,
        connect_typeorm::a_store_that_takes_no_notice_of_the_mark_is_found_out,
        connect_typeorm::a_table_that_we_make_is_the_one_that_typeorm_makes,
        connect_typeorm::an_entity_without_destroyed_at_is_recognised,
        connect_typeorm::no_session_of_another_id_is_met,
        connect_typeorm::table_and_columns_may_have_other_names,
        connect_typeorm::what_is_forgotten_leaves_an_empty_row_that_node_can_read,
        connect_typeorm::what_node_left_reads_as_node_reads_it,
        connect_typeorm::a_row_that_a_strange_index_refuses_has_no_taken_id,
        connections::a_closed_connection_is_replaced,
        connections::a_refused_connection_says_why,
        connections::credentials_may_stand_apart_from_the_url,
        connections::credentials_of_a_callback_are_asked_for_each_connection,
        doctor::the_doctor_finds_what_is_wrong,
        doctor::the_doctor_finds_wrong_settings,
        engines::a_table_that_is_distributed_by_key_is_refused,
        engines::an_engine_that_was_not_proven_is_refused_with_the_reason,
        errors::a_character_that_the_encoding_lacks_is_the_callers_matter,
        errors::a_plan_for_columns_that_changed_is_made_anew,
        errors::faults_are_told_apart,
        errors::faults_of_our_own_connections_are_told_by_their_code,
        hosts::a_host_that_says_nothing_costs_no_deadline,
        life::a_broken_connection_is_not_an_outage,
        life::a_connection_closed_while_idle_is_no_outage,
        life::a_far_server_comes_back,
        life::a_locked_table_fills_no_server,
        life::a_silent_loss_costs_less_than_a_deadline,
        life::a_slow_login_is_waited_for_in_the_background,
        principals::a_principal_is_ended_through_rotations,
        principals::a_principal_is_forgotten_through_rotations,
        rows::a_version_that_cannot_be_read_harms_no_other_write_of_its_batch,
        rows::every_number_comes_back,
        rows::numbers_sent_as_text_are_read,
        schema::a_table_is_made_once_by_many,
        schema::a_user_without_the_right_to_make_tables_may_where_the_table_is_complete,
        secrets::nothing_secret_is_logged,
        secrets::what_diesel_s_own_connections_show,
        statements::a_load_of_a_known_version_moves_no_payload,
        statements::each_operation_is_one_statement_prepared_once,
        statements::loads_and_throttled_touches_write_nothing,
    ];
    trials.extend(connections::trials());
    trials.extend(hostile::trials());
    trials.extend(hosts::trials());
    trials.extend(poolers::trials());
    trials.extend(statements::trials());
    trials
}
